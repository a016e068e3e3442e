"""Scope: a cursor into variables, with the RNG streams and the names of one place in the tree of modules."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import jax
import numpy as np

from linen_core import meta
from linen_core._context import note_place_read
from linen_core._jax_compat import ArrayImpl, Tracer
from linen_core.errors import (
    InvalidRngError,
    InvalidScopeError,
    MissingRngSplitError,
    ModifyScopeVariableError,
    ScopeCollectionNotFound,
    ScopeParamNotFoundError,
    ScopeParamShapeError,
    ScopeVariableNotFoundError,
    UnliftedCollectionError,
    UnliftedWriteError,
)
from linen_core.filters import CollectionFilter, in_filter
from linen_core.rng import LazyRng
from linen_core.scope.origin import Origin, who_keeps_out, who_keeps_out_stream
from linen_core.scope.shapes import expected_shapes
from linen_core.scope.variable import Variable
from linen_core.store.view import StoreView, snapshot_mapping
from linen_core.typing import PRNGKey

__all__ = ["DEFERRED", "RECORDER", "Scope"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_REQUIRED = object()
_CHILD = object()

DEFERRED = "deferred"
"""The flag under which a run of `init` carries a note-taker of the parameters it makes (see `deferred`)."""

RECORDER = "recorder"
"""The flag under which a run carries a note-taker of what is read and missing (see `touched`)."""


class Scope:
    """A place in the tree of modules: its variables, RNG streams and taken names.

    Variables lie at the root; every other scope finds its part of a collection when it is first asked for it.
    The functions `linen_core.scope.init` and `apply` make root scopes, `push` makes the scope of a child.

    Args:
      variables: the collections at this scope; mutable ones must be nested dicts, which are written to.
      rngs: a key, or a `LazyRng`, for each stream.
      name: name of the scope in its parent.
      mutable: which collections can be written.
      parent: the parent scope.
      path: names from the root to this scope.
      debug_path: the same for error texts, where lifted transforms may name themselves.
      flags: facts about the run, for example ``initializing``.

    Attributes:
      adopted: the modules of this run that stand for modules made outside of it, by the latter's id.
      origin: at a root inside of a lifted transform where it comes from.
      traces: at a root what was traced in this run and may serve again, by what it depends on.

    Example:
      >>> scope = Scope({"params": {"w": 1.0}})
      >>> scope.get_variable("params", "w")
      1.0
    """

    __slots__ = (
        "__weakref__",
        "_debug_path",
        "_invalid",
        "_name",
        "_path",
        "_root",
        "_variables",
        "adopted",
        "flags",
        "mutable",
        "origin",
        "parent",
        "reservations",
        "rng_counters",
        "rngs",
        "traces",
    )

    def __init__(
        self,
        variables: Mapping[str, Any],
        rngs: Mapping[str, PRNGKey | LazyRng] | None = None,
        name: str | None = None,
        mutable: CollectionFilter = False,
        parent: Scope | None = None,
        path: Iterable[str] = (),
        debug_path: Iterable[str] = (),
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self._variables: dict[str, Any] = (
            variables if isinstance(variables, dict) else dict(variables)
        )
        self.rngs = {stream: LazyRng.create(rng) for stream, rng in rngs.items()} if rngs else {}
        self._name = name
        self.mutable = mutable
        self.parent = parent
        self._path = tuple(path)
        self._debug_path = tuple(debug_path) or self._path
        self.flags: Mapping[str, Any] = {} if flags is None else flags
        self.rng_counters: dict[Any, Any] = dict.fromkeys(self.rngs, 0)
        self.reservations: dict[str, set[str | None]] = {}
        self.adopted: Any = parent.adopted if parent is not None else weakref.WeakValueDictionary()
        self._root = parent.root if parent is not None else None
        self.traces: dict[Any, Any] = {}
        self.origin: Origin | None = None
        self._invalid = False

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Scope)
            and self.root._variables is other.root._variables
            and self._path == other._path
            and self.rng_counters is other.rng_counters
        )

    def __hash__(self) -> int:
        return hash((id(self.root._variables), self._path, id(self.rng_counters)))

    def __repr__(self) -> str:
        return f"Scope({self.path_text!r}, collections={list(self.root._variables)})"

    # Where the scope is

    @property
    def root(self) -> Scope:
        """The scope at the top."""
        return self if self._root is None else self._root

    @property
    def name(self) -> str | None:
        """Name of the scope in its parent."""
        note_place_read()
        return self._name

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the root to this scope."""
        note_place_read()
        return self._path

    @property
    def debug_path(self) -> tuple[str, ...]:
        """The path for error texts, where lifted transforms name themselves."""
        note_place_read()
        return self._debug_path

    @property
    def path_text(self) -> str:
        """The path as text, for example ``"/encoder/Dense_0"``."""
        return "/" + "/".join(self.debug_path)

    @property
    def invalid(self) -> bool:
        """Whether the run this scope was made for has ended."""
        return self._invalid

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Scope]:
        """Make the scope invalid at the end of a `with` block."""
        try:
            yield self
        finally:
            self.invalidate()

    def invalidate(self) -> None:
        """Let no more names, variables or keys be taken from this scope."""
        self._invalid = True

    def _check_valid(self) -> None:
        if self._invalid:
            raise InvalidScopeError(self._name)

    # Names and children

    def name_reserved(self, name: str, col: str | None = None) -> bool:
        """Tell whether a name is taken: by a child, or by a variable of ``col`` (of any collection if None)."""
        taken = self.reservations.get(name)
        return taken is not None and (col is None or None in taken or col in taken)

    def reserve(self, name: str, col: str | None = None) -> None:
        """Take a name for a variable of the collection ``col``, or for a child if None.

        Raises:
          TypeError: the name is no string.
          ValueError: the name is taken.
        """
        taken = self.reservations.get(name)
        if taken is None:
            if not isinstance(name, str):
                msg = f"A name in a scope must be a str; found {name!r}, {type(name).__name__}, in {self.path_text}."
                raise TypeError(msg)
            self.reservations[name] = {col}
            return
        if self.name_reserved(name, col):
            msg = f"The name {name!r} is used twice in {self.path_text}. Choose another for one of the two."
            raise ValueError(msg)
        taken.add(col)

    def default_name(self, prefix: str) -> str:
        """Return the first free name of the form ``prefix`` + number."""
        number = 0
        while f"{prefix}{number}" in self.reservations:
            number += 1
        return f"{prefix}{number}"

    def push(self, name: str | None = None, prefix: str = "", reuse: bool = False) -> Scope:
        """Make the scope of a child.

        Args:
          name: its name; the default name for ``prefix`` if None.
          prefix: see ``name``.
          reuse: whether the name may be taken already.

        Raises:
          InvalidScopeError: the run of this scope has ended.
          ValueError: the name is taken.
        """
        if self._invalid:
            raise InvalidScopeError(self._name)
        if name is None:
            name = self.default_name(prefix)
        if not reuse or name not in self.reservations:
            self.reserve(name)
        child = self._cursor(self)
        child._variables = {}
        child.rngs = {
            stream: LazyRng(rng.rng, (*rng.suffix, name), rng.drawing)
            for stream, rng in self.rngs.items()
        }
        child._name = name
        child._path = (*self._path, name)
        child._debug_path = (*self._debug_path, name)
        child.rng_counters = self._counters_of_child(name)
        child.adopted = self.adopted
        child._root = self if self._root is None else self._root
        return child

    def _counters_of_child(self, name: str) -> dict[Any, Any]:
        """Counters belong to a place, not to a scope: pushing a name again goes on counting."""
        counters = self.rng_counters.get((_CHILD, name))
        if counters is None:
            counters = self.rng_counters[(_CHILD, name)] = dict.fromkeys(self.rngs, 0)
        return counters

    def child(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        prefix: str | None = None,
        named_call: bool = True,
        **partial_kwargs: Any,
    ) -> Callable[..., Any]:
        """Give a function of a scope a child scope of its own.

        Args:
          fn: a function whose first argument is a scope.
          name: name of the child; made of ``prefix`` if None.
          prefix: what a default name starts with; the function's name and "_" if None.
          named_call: whether the function runs under a `jax.named_scope`.
          **partial_kwargs: keyword arguments handed to every call.

        Returns:
          ``fn`` without its first argument. Calling it again uses the same variables.
        """
        if name is None:
            if prefix is None:
                prefix = f"{fn.__name__}_" if hasattr(fn, "__name__") else ""
            name = self.default_name(prefix)
        scope = self.push(name)
        label = name

        @functools.wraps(fn)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            named = jax.named_scope(label) if named_call else contextlib.nullcontext()
            with named:
                return fn(scope.rewound(), *args, **{**partial_kwargs, **kwargs})

        return wrapper

    def rewound(self, rewind_rngs: bool = False) -> Scope:
        """Return this scope with all names free again.

        Args:
          rewind_rngs: whether the RNG counters start anew too.
        """
        self._check_valid()
        scope = self._cursor(self.parent)
        scope._variables = self._variables
        scope.rngs = self.rngs
        scope._name = self._name
        scope._path = self._path
        scope._debug_path = self._debug_path
        scope.rng_counters = dict.fromkeys(self.rngs, 0) if rewind_rngs else self.rng_counters
        scope.adopted = self.adopted
        scope._root = self._root
        if self._root is None:
            scope.traces, scope.origin = self.traces, self.origin
        return scope

    def _cursor(self, parent: Scope | None) -> Scope:
        """Make a scope of the same run with no names taken; where it is remains to be filled in."""
        scope = Scope.__new__(Scope)
        scope.parent = parent
        scope.mutable = self.mutable
        scope.flags = self.flags
        scope.reservations = {}
        scope._invalid = False
        return scope

    # Collections

    def is_mutable_collection(self, col: str) -> bool:
        """Tell whether a collection can be written."""
        return in_filter(self.mutable, col)

    def is_collection_empty(self, col: str) -> bool:
        """Tell whether the root has nothing in a collection."""
        return not self.root._variables.get(col)

    def _collection(self, col: str) -> Mapping[str, Any]:
        """Return this scope's part of a collection to read from."""
        found = self._variables.get(col)
        if found is None:
            if self.parent is None:
                return _EMPTY
            above = self.parent._collection(col)
            if self._name is None or self._name not in above:
                return _EMPTY
            found = self._variables[col] = above[self._name]
        return found  # type: ignore[no-any-return]

    def _mutable_collection(self, col: str) -> dict[str, Any]:
        """Return this scope's part of a collection to write to, made on the way down if need be."""
        found = self._variables.get(col)
        if found is None:
            home = self._variables
            if self.parent is None:
                found = home[col] = {}
            else:
                found = home[col] = self.parent._mutable_collection(col).setdefault(
                    self._name or "", {}
                )
        return found

    def variables(self) -> dict[str, Any]:
        """Copy all variables at and below this scope, by collection, into nested dicts.

        Changing the copy changes nothing here. What a store holds is read, in one batch per collection.
        """
        self._populate_collections()
        return {col: snapshot_mapping(values) for col, values in self._variables.items()}

    def mutable_variables(self) -> dict[str, Any]:
        """Return the mutable collections at this scope."""
        self._populate_collections()
        return {
            col: values for col, values in self._variables.items() if in_filter(self.mutable, col)
        }

    def _populate_collections(self) -> None:
        for col in list(self.root._variables):
            self._collection(col)

    # RNG streams and flags

    def has_rng(self, name: str) -> bool:
        """Tell whether there is a stream of this name."""
        return name in self.rngs

    def make_rng(self, name: str = "params") -> PRNGKey:
        """Draw a key from a stream, or from 'params' if there is no such stream.

        Raises:
          InvalidRngError: there is neither.
          InvalidScopeError: the run of this scope has ended.
        """
        if name not in self.rngs:
            if "params" not in self.rngs:
                keeper = who_keeps_out_stream(self, name)
                if keeper is not None:
                    raise MissingRngSplitError(keeper, name, self.path_text)
                msg = (
                    f"Cannot draw a key of stream {name!r} in {self.path_text}: found the streams "
                    f"{sorted(self.rngs)}. Pass rngs={{{name!r}: jax.random.key(...)}} to `apply` or `init`."
                )
                raise InvalidRngError(msg)
            name = "params"
        self._check_valid()
        count = self.rng_counters[name] = self.rng_counters[name] + 1
        return LazyRng.create(self.rngs[name], count).as_jax_rng()

    def has_flag(self, key: str) -> bool:
        """Tell whether a flag was given."""
        return key in self.flags

    def get_flag(self, key: str, default: Any = _REQUIRED) -> Any:
        """Return a flag.

        Raises:
          ValueError: the flag was not given and there is no default.
        """
        if key not in self.flags and default is _REQUIRED:
            msg = f"There is no flag {key!r} in {self.path_text}, only {sorted(self.flags)}."
            raise ValueError(msg)
        return self.flags.get(key, default)

    # Variables

    def has_variable(self, col: str, name: str) -> bool:
        """Tell whether this scope has a variable."""
        return name in self._collection(col)

    def get_variable(self, col: str, name: str, default: Any = None) -> Any:
        """Return a variable's value, boxes and all, or ``default`` if there is none."""
        collection = self._collection(col)
        if name not in collection:
            return default
        if self.flags and RECORDER in self.flags:
            self.flags[RECORDER].note_read(self, col, name)
        return collection[name]

    def put_variable(self, col: str, name: str, value: Any) -> None:
        """Write a variable. A mapping is merged into one that is there.

        Raises:
          InvalidScopeError: the run of this scope has ended.
          ModifyScopeVariableError: the collection is immutable.
        """
        self._check_valid()
        if not in_filter(self.mutable, col):
            keeper = who_keeps_out(self, col)
            if keeper is not None:
                raise UnliftedWriteError(keeper, col, name, self.path_text)
            raise ModifyScopeVariableError(col, name, self.path_text)
        _merge(self._mutable_collection(col), name, value)

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Variable[Any]:
        """Return a reference to a variable, which is created if it is missing.

        Args:
          col: name of the collection.
          name: name of the variable.
          init_fn: makes the initial value; without it the variable must be there.
          *init_args: arguments for ``init_fn``.
          unbox: whether the reference reads and writes inside the value's boxes.
          **init_kwargs: keyword arguments for ``init_fn``.

        Raises:
          ScopeCollectionNotFound: the variable is missing, as is its whole collection, and cannot be created.
          ScopeVariableNotFoundError: the variable is missing and cannot be created.
          ValueError: the name is taken.
        """
        self.reserve(name, col)
        if not self.has_variable(col, name):
            if init_fn is None:
                self._raise_not_found(col, name)
            if in_filter(self.mutable, col):
                self.put_variable(col, name, init_fn(*init_args, **init_kwargs))
            else:
                self._missing(col, name, lambda: init_fn(*init_args, **init_kwargs))
        return Variable(self, col, name, unbox=unbox)

    def param(
        self,
        name: str,
        init_fn: Callable[..., Any],
        *init_args: Any,
        unbox: bool = True,
        **init_kwargs: Any,
    ) -> Any:
        """Return a parameter, which is created if it is missing and 'params' is mutable.

        Args:
          name: name of the parameter.
          init_fn: makes the initial value from a key and ``init_args``.
          *init_args: arguments for ``init_fn`` after the key.
          unbox: whether to return what lies in the value's boxes.
          **init_kwargs: keyword arguments for ``init_fn``.

        Raises:
          ScopeCollectionNotFound: there are no parameters at all.
          ScopeParamNotFoundError: the parameter is missing.
          ScopeParamShapeError: the parameter has another shape than ``init_fn`` makes.
          ValueError: the name is taken.
        """
        self.reserve(name, "params")
        params = self._collection("params")
        if name in params:
            if self.flags and RECORDER in self.flags:
                self.flags[RECORDER].note_read(self, "params", name)
            expected = expected_shapes(init_fn, init_args, init_kwargs)
            if type(params) is StoreView:
                self._check_shapes(name, params.spec(name), expected)
            value = params[name]
            kind = type(value)
            if kind is ArrayImpl or issubclass(
                kind, Tracer
            ):  # the usual case, at the price of a comparison
                if expected and value.shape != expected[0]:
                    raise ScopeParamShapeError(name, self.path_text, value.shape, expected[0])
                return value
            self._check_shapes(name, value, expected)
            return meta.unbox(value) if unbox else value
        if in_filter(self.mutable, "params"):
            value = init_fn(self.make_rng("params"), *init_args, **init_kwargs)
            if DEFERRED in self.flags:
                self.flags[DEFERRED].note(self, init_fn, init_args, init_kwargs, value)
            self.put_variable("params", name, value)
        else:
            value = self._missing(
                "params", name, lambda: init_fn(jax.random.key(0), *init_args, **init_kwargs)
            )
        return meta.unbox(value) if unbox else value

    def _check_shapes(self, name: str, value: Any, expected: tuple[tuple[int, ...], ...]) -> None:
        for leaf, shape in zip(jax.tree.leaves(value), expected, strict=False):
            if np.shape(leaf) != shape:
                raise ScopeParamShapeError(name, self.path_text, np.shape(leaf), shape)

    def _missing(self, col: str, name: str, make: Callable[[], Any]) -> Any:
        """Raise for a variable that is neither there nor may be made; or, if that is noted, make it all the same."""
        recorder = self.flags.get(RECORDER)
        if recorder is None:
            self._raise_not_found(col, name)
        value = make()
        recorder.note_missing(self, col, name, value)
        _merge(self._mutable_collection(col), name, value)
        return value

    def _raise_not_found(self, col: str, name: str) -> NoReturn:
        top = self.root._variables
        if self.is_collection_empty(col):
            keeper = who_keeps_out(self, col)
            if keeper is not None:
                raise UnliftedCollectionError(keeper, col, name, self.path_text)
            unwrapped = col not in top and (*self._path, name)[0] in top
            raise ScopeCollectionNotFound(col, name, self.path_text, found=top, unwrapped=unwrapped)
        known = self._collection(col)
        if col == "params":
            raise ScopeParamNotFoundError(name, self.path_text, known)
        raise ScopeVariableNotFoundError(name, col, self.path_text, known)


def _merge(target: dict[str, Any], name: str, value: Any) -> None:
    current = target.get(name)
    if isinstance(current, dict) and isinstance(value, Mapping):
        for key, item in value.items():
            _merge(current, key, item)
    else:
        target[name] = value
