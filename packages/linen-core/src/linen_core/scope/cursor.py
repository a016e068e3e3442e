"""Cursor: a position in the module tree, with its names, children and RNG streams; and the run that it belongs to."""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import jax

from linen_core._jax_compat import trace_context
from linen_core.errors import (
    InvalidRngError,
    InvalidScopeError,
    MissingRngSplitError,
)
from linen_core.filters import CollectionFilter, Filter
from linen_core.rng import LazyRng
from linen_core.typing import PRNGKey

__all__ = ["Cursor", "LiftedFrom", "Run", "RunObserver"]

_REQUIRED = object()
_CHILD = object()

LOOPS = ("scan", "vmap", "while_loop")
"""The transforms whose function is traced once for several steps or elements."""


class RunObserver:
    """Receives the reads and misses of a run. This base class ignores them.

    Attributes:
      makes_missing: whether a missing variable of an immutable collection is created anyway, for this run only.
    """

    makes_missing = False

    def on_read(self, scope: Cursor, col: str, name: str) -> None:
        """Called before a variable is read."""

    def on_missing(self, scope: Cursor, col: str, name: str, value: object) -> None:
        """Called with the value created for a missing variable."""


class LiftedFrom(NamedTuple):
    """How a lifted transform created the root scope inside it."""

    transform: str
    """Name of the transform."""
    outer: Cursor
    """The scope outside the transform."""
    carried: tuple[Filter, ...]
    """The collections that the transform passes inside."""


class Run:
    """State shared by all scopes below one root.

    Attributes:
      adopted: clones of modules that were created outside the run, by the id of the original module.
      observer: receives what the run reads and creates; None for nobody.
      lifted_from: the transform and the scope that the root was created from; None outside transforms.
      entered_transform: the lifted transform whose function runs now, on scopes of its own.
      trace: the JAX trace in which the run began; None if values of any trace may be written.
    """

    __slots__ = ("adopted", "entered_transform", "lifted_from", "observer", "trace")

    def __init__(
        self, observer: RunObserver | None = None, lifted_from: LiftedFrom | None = None
    ) -> None:
        self.adopted: weakref.WeakValueDictionary[Any, Any] = weakref.WeakValueDictionary()
        self.observer = observer
        self.lifted_from = lifted_from
        self.entered_transform: str | None = None
        self.trace: Any = trace_context.trace


class Cursor:
    """The position of a `Scope` in the module tree. `Scope` documents the arguments."""

    __slots__ = (
        "__weakref__",
        "_invalid",
        "_root",
        "_variables",
        "debug_path",
        "flags",
        "mutable",
        "name",
        "parent",
        "path",
        "reservations",
        "rng_counters",
        "rngs",
        "run",
    )

    def __init__(
        self,
        variables: Mapping[str, Any],
        rngs: Mapping[str, PRNGKey | LazyRng] | None = None,
        name: str | None = None,
        mutable: CollectionFilter = False,
        parent: Self | None = None,
        path: Iterable[str] = (),
        debug_path: Iterable[str] = (),
        flags: Mapping[str, Any] | None = None,
    ) -> None:
        self._variables: dict[str, Any] = (
            variables if isinstance(variables, dict) else dict(variables)
        )
        self.rngs = {stream: LazyRng.create(rng) for stream, rng in rngs.items()} if rngs else {}
        self.name = name
        self.mutable = mutable
        self.parent = parent
        self.path = tuple(path)
        self.debug_path = tuple(debug_path) or self.path
        self.flags: Mapping[str, Any] = {} if flags is None else flags
        self.rng_counters: dict[Any, Any] = dict.fromkeys(self.rngs, 0)
        self.reservations: dict[str, set[str | None]] = {}
        self._root = parent.root if parent is not None else None
        self.run: Run = parent.run if parent is not None else Run()
        self._invalid = False

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Cursor)
            and self.root._variables is other.root._variables
            and self.path == other.path
            and self.rng_counters is other.rng_counters
        )

    def __hash__(self) -> int:
        return hash((id(self.root._variables), self.path, id(self.rng_counters)))

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.path_text!r}, collections={list(self.root._variables)})"
        )

    # Where the scope is

    @property
    def root(self) -> Self:
        """The scope at the top."""
        return self if self._root is None else self._root

    @property
    def path_text(self) -> str:
        """The path as text, for example ``"/encoder/Dense_0"``."""
        return "/" + "/".join(self.debug_path)

    @property
    def invalid(self) -> bool:
        """True after the run of this scope has ended."""
        return self._invalid

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Self]:
        """Invalidate the scope at the end of a `with` block."""
        try:
            yield self
        finally:
            self.invalidate()

    def invalidate(self) -> None:
        """Make later uses of this scope raise `InvalidScopeError`."""
        self._invalid = True

    def _check_valid(self) -> None:
        if self._invalid:
            raise InvalidScopeError(self.name)

    # Names and children

    def name_reserved(self, name: str, col: str | None = None) -> bool:
        """Return whether a child has this name, or a variable of ``col`` (of any collection if None).

        Example:
          >>> scope = nn.Scope({})
          >>> scope.reserve("w", "params")
          >>> scope.name_reserved("w"), scope.name_reserved("w", "state")
          (True, False)
        """
        taken = self.reservations.get(name)
        return taken is not None and (col is None or None in taken or col in taken)

    def reserve(self, name: str, col: str | None = None) -> None:
        """Reserve a name for a variable of the collection ``col``, or for a child if None.

        Raises:
          TypeError: the name is not a string.
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
        """Return the first free name of the form ``prefix`` + number.

        Example:
          >>> scope = nn.Scope({})
          >>> child = scope.push("Dense_0")
          >>> scope.default_name("Dense_")
          'Dense_1'
        """
        number = 0
        while f"{prefix}{number}" in self.reservations:
            number += 1
        return f"{prefix}{number}"

    def push(self, name: str | None = None, prefix: str = "", reuse: bool = False) -> Self:
        """Create the scope of a child.

        Args:
          name: name of the child; the default name for ``prefix`` if None.
          prefix: the start of a default name.
          reuse: whether the name may already be in use.

        Raises:
          InvalidScopeError: the run of this scope has ended.
          ValueError: the name is taken.

        Example:
          >>> nn.Scope({"params": {"a": {"w": 1.0}}}).push("a").get_variable("params", "w")
          1.0
        """
        if self._invalid:
            raise InvalidScopeError(self.name)
        if name is None:
            name = self.default_name(prefix)
        if not reuse or name not in self.reservations:
            self.reserve(name)
        child = self._cursor(self)
        child._variables = {}
        child.rngs = {stream: LazyRng.create(rng, name) for stream, rng in self.rngs.items()}
        child.name = name
        child.path = (*self.path, name)
        child.debug_path = (*self.debug_path, name)
        child.rng_counters = self._counters_of_child(name)
        child._root = self if self._root is None else self._root
        return child

    def _counters_of_child(self, name: str) -> dict[Any, Any]:
        """Return the RNG counters of a child. A second scope of the same name continues them."""
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
        **partial_kwargs: object,
    ) -> Callable[..., Any]:
        """Bind a function of a scope to a new child scope.

        Args:
          fn: a function whose first argument is a scope.
          name: name of the child; a default name if None.
          prefix: the start of a default name; the function's name and "_" if None.
          named_call: whether the function runs under a `jax.named_scope`.
          **partial_kwargs: keyword arguments of every call.

        Returns:
          ``fn`` without its first argument. Calling it again uses the same variables.

        Example:
          >>> def scale(scope, x):
          ...     return x * scope.get_variable("params", "w")
          >>> nn.Scope({"params": {"a": {"w": 3.0}}}).child(scale, name="a")(2.0)
          6.0
        """
        if name is None:
            if prefix is None:
                prefix = f"{fn.__name__}_" if hasattr(fn, "__name__") else ""
            name = self.default_name(prefix)
        scope = self.push(name)
        label = name

        @functools.wraps(fn)
        def wrapper(*args: object, **kwargs: object) -> Any:
            named = jax.named_scope(label) if named_call else contextlib.nullcontext()
            with named:
                return fn(scope.rewound(), *args, **{**partial_kwargs, **kwargs})

        return wrapper

    def rewound(self, rewind_rngs: bool = False) -> Self:
        """Return a scope of the same variables in which all names are free again.

        Args:
          rewind_rngs: whether the RNG counters restart too.
        """
        self._check_valid()
        scope = self._cursor(self.parent)
        scope._variables = self._variables
        scope.rngs = self.rngs
        scope.name = self.name
        scope.path = self.path
        scope.debug_path = self.debug_path
        scope.rng_counters = dict.fromkeys(self.rngs, 0) if rewind_rngs else self.rng_counters
        scope._root = self._root
        return scope

    def _cursor(self, parent: Self | None) -> Self:
        """Create a scope of the same run without names. The caller sets its position."""
        scope = object.__new__(type(self))
        scope.parent = parent
        scope.mutable = self.mutable
        scope.flags = self.flags
        scope.run = self.run
        scope.reservations = {}
        scope._invalid = False
        return scope

    # RNG streams and flags

    def has_rng(self, name: str) -> bool:
        """Return whether the stream exists."""
        return name in self.rngs

    def make_rng(self, name: str = "params") -> PRNGKey:
        """Draw a key from a stream, or from 'params' if the stream does not exist.

        Raises:
          InvalidRngError: neither stream exists.
          InvalidScopeError: the run of this scope has ended.

        Example:
          >>> import jax
          >>> nn.Scope({}, rngs={"params": jax.random.key(0)}).make_rng("params").shape
          ()
        """
        if name not in self.rngs:
            if "params" not in self.rngs:
                blocking = self._transform_blocking_stream(name)
                if blocking is not None:
                    transform, is_fallback = blocking
                    raise MissingRngSplitError(
                        transform, name, self.path_text, passed=not is_fallback
                    )
                msg = (
                    f"Cannot draw a key of stream {name!r} in {self.path_text}: found the streams "
                    f"{sorted(self.rngs)}. Pass rngs={{{name!r}: jax.random.key(...)}} to `apply`, `init` or `bind`."
                )
                raise InvalidRngError(msg)
            name = "params"
        self._check_valid()
        if self.run.entered_transform in LOOPS:
            self._warn_of_same_key(name)
        count = self.rng_counters[name] = self.rng_counters[name] + 1
        return LazyRng.create(self.rngs[name], count).as_jax_rng()

    def _transform_blocking_stream(self, stream: str) -> tuple[str, bool] | None:
        """Find the enclosing transform that does not pass the stream that `make_rng` would draw from.

        Returns:
          Name of the transform, and whether the hidden stream is 'params', which replaces a stream that was not
          passed; None if no transform hides either.
        """
        for lifted_from, _ in self._lifted_roots():
            if stream in lifted_from.outer.rngs:
                return lifted_from.transform, False
            if "params" in lifted_from.outer.rngs:
                return lifted_from.transform, True
        return None

    def _lifted_roots(self) -> Iterator[tuple[LiftedFrom, Cursor]]:
        """Yield the root of this scope and those outside the enclosing transforms, innermost first."""
        root: Cursor = self.root
        while root.run.lifted_from is not None:
            yield root.run.lifted_from, root
            root = root.run.lifted_from.outer.root

    def _warn_of_same_key(self, stream: str) -> None:
        transform = self.run.entered_transform
        msg = (
            f"A key of stream {stream!r} is drawn in {self.path_text}, outside the nn.{transform} that is "
            "running: every step gets the same key. Use the module that the function gets as its first argument, and "
            f"pass split_rngs={{{stream!r}: True}} to nn.{transform}."
        )
        warnings.warn(msg, RuntimeWarning, stacklevel=4)

    def has_flag(self, key: str) -> bool:
        """Return whether a flag was passed."""
        return key in self.flags

    def get_flag(self, key: str, default: object = _REQUIRED) -> Any:
        """Return a flag.

        Raises:
          ValueError: the flag was not passed and ``default`` is missing.

        Example:
          >>> nn.Scope({}, flags={"initializing": True}).get_flag("initializing")
          True
        """
        if key not in self.flags and default is _REQUIRED:
            msg = (
                f"Cannot find the flag {key!r} in {self.path_text}: found {sorted(self.flags)}. "
                "Pass a default, or set the flag."
            )
            raise ValueError(msg)
        return self.flags.get(key, default)
