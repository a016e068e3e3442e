"""Scope: a cursor into variables that creates, reads and checks them; Variable: a reference to one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Generic, NoReturn, TypeVar

import jax
import numpy as np

from linen_core import meta
from linen_core._jax_compat import ArrayImpl, Tracer, is_traced_since, trace_context
from linen_core.errors import (
    ModifyScopeVariableError,
    ScopeCollectionNotFound,
    ScopeParamNotFoundError,
    ScopeParamShapeError,
    ScopeVariableNotFoundError,
    TracedWriteError,
    UnliftedCollectionError,
    UnliftedWriteError,
)
from linen_core.filters import in_filter
from linen_core.scope.cursor import Cursor
from linen_core.scope.initializers import expected_shapes, initial_value
from linen_core.store.view import StoreView, snapshot_mapping
from linen_core.typing import PyTree

__all__ = ["Scope", "Variable"]

_T = TypeVar("_T")

_EMPTY: Mapping[str, Any] = MappingProxyType({})


class Scope(Cursor):
    """A position in the module tree, with its variables, RNG streams and reserved names.

    The root holds the variables; every other scope looks up its part of a collection on first use. The functions
    `linen_core.scope.init` and `apply` create root scopes, and `push` creates the scope of a child.

    Args:
      variables: the collections at this scope. Mutable ones must be nested dicts; they are modified.
      rngs: a key, or a `LazyRng`, for each stream.
      name: name of the scope in its parent.
      mutable: the collections that can be written.
      parent: the parent scope.
      path: names from the root to this scope.
      debug_path: the path that errors show; lifted transforms add their own names to it.
      flags: values that `get_flag` returns, for example ``initializing``.

    Attributes:
      run: state shared by all scopes of the same root.

    Example:
      >>> scope = Scope({"params": {"w": 1.0}})
      >>> scope.get_variable("params", "w")
      1.0
    """

    __slots__ = ()

    # Collections

    def is_mutable_collection(self, col: str) -> bool:
        """Return whether a collection can be written."""
        return in_filter(self.mutable, col)

    def is_collection_empty(self, col: str) -> bool:
        """Return whether a collection is empty at the root."""
        return not self.root._variables.get(col)

    def _collection(self, col: str) -> Mapping[str, Any]:
        """Return this scope's part of a collection to read from."""
        found = self._variables.get(col)
        if found is None:
            if self.parent is None:
                return _EMPTY
            above = self.parent._collection(col)
            if self.name is None or self.name not in above:
                return _EMPTY
            found = self._variables[col] = above[self.name]
        return found  # type: ignore[no-any-return]

    def _mutable_collection(self, col: str) -> dict[str, Any]:
        """Return this scope's part of a collection to write to, created if missing."""
        found = self._variables.get(col)
        if found is None:
            home = self._variables
            if self.parent is None:
                found = home[col] = {}
            else:
                found = home[col] = self.parent._mutable_collection(col).setdefault(
                    self.name or "", {}
                )
        return found

    def variables(self) -> dict[str, Any]:
        """Copy all variables at and below this scope, by collection, into nested dicts.

        The copy is independent of the scope. Values of a store are read in one batch per collection.

        Example:
          >>> nn.Scope({"params": {"a": {"w": 1.0}}}).push("a").variables()
          {'params': {'w': 1.0}}
        """
        self._populate_collections()
        return {col: snapshot_mapping(values) for col, values in self._variables.items()}

    def mutable_variables(self) -> dict[str, Any]:
        """Return the mutable collections at this scope.

        Example:
          >>> nn.Scope({"params": {"w": 1.0}, "state": {"n": 1}}, mutable="state").mutable_variables()
          {'state': {'n': 1}}
        """
        self._populate_collections()
        return {
            col: values for col, values in self._variables.items() if in_filter(self.mutable, col)
        }

    def _populate_collections(self) -> None:
        for col in list(self.root._variables):
            self._collection(col)

    # Reading and writing

    def has_variable(self, col: str, name: str) -> bool:
        """Return whether this scope has a variable."""
        return name in self._collection(col)

    def get_variable(self, col: str, name: str, default: object = None) -> Any:
        """Return a variable's value with its boxes, or ``default`` if the variable is missing."""
        collection = self._collection(col)
        if name not in collection:
            return default
        if self.run.observer is not None:
            self.run.observer.on_read(self, col, name)
        value = collection[name]
        return value.snapshot() if type(value) is StoreView else value

    def put_variable(self, col: str, name: str, value: PyTree) -> None:
        """Write a variable. A mapping is merged into an existing mapping.

        Raises:
          InvalidScopeError: the run of this scope has ended.
          ModifyScopeVariableError: the collection is immutable.
          TracedWriteError: the value belongs to a JAX transform that was entered after the run of this scope began.

        Example:
          >>> scope = nn.Scope({"state": {}}, mutable=["state"])
          >>> scope.put_variable("state", "n", 1)
          >>> scope.get_variable("state", "n")
          1
        """
        self._check_valid()
        if not in_filter(self.mutable, col):
            transform = self._transform_blocking(col)
            if transform is not None:
                raise UnliftedWriteError(transform, col, name, self.path_text)
            raise ModifyScopeVariableError(col, name, self.path_text)
        home = self.run.trace
        if home is not None and trace_context.trace is not home and is_traced_since(home, value):
            raise TracedWriteError(col, name, self.path_text)
        merge(self._mutable_collection(col), name, value)

    # Creation

    def variable(
        self,
        col: str,
        name: str,
        init_fn: Callable[..., Any] | None = None,
        *init_args: object,
        unbox: bool = True,
        **init_kwargs: object,
    ) -> Variable[Any]:
        """Return a reference to a variable, which is created if it is missing.

        Args:
          col: name of the collection.
          name: name of the variable.
          init_fn: creates the initial value; without it the variable must exist.
          *init_args: arguments of ``init_fn``.
          unbox: whether the reference reads and writes the content of the value's boxes.
          **init_kwargs: keyword arguments of ``init_fn``.

        Raises:
          ScopeCollectionNotFound: the whole collection is missing, and the variable cannot be created.
          ScopeVariableNotFoundError: the variable is missing and cannot be created.
          ValueError: the name is already in use.

        Example:
          >>> scope = Scope({"state": {}}, mutable=["state"])
          >>> scope.variable("state", "n", lambda: 3).value
          3
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
        *init_args: object,
        unbox: bool = True,
        **init_kwargs: object,
    ) -> Any:
        """Return a parameter, which is created if it is missing and 'params' is mutable.

        Args:
          name: name of the parameter.
          init_fn: creates the initial value from a key and ``init_args``.
          *init_args: arguments of ``init_fn`` after the key.
          unbox: whether to return the content of the value's boxes.
          **init_kwargs: keyword arguments of ``init_fn``.

        Raises:
          ScopeCollectionNotFound: the collection 'params' is missing or empty.
          ScopeParamNotFoundError: the parameter is missing.
          ScopeParamShapeError: the shape differs from that of the result of ``init_fn``.
          ValueError: the name is already in use.

        Example:
          >>> import jax
          >>> scope = Scope({"params": {}}, rngs={"params": jax.random.key(0)}, mutable=["params"])
          >>> scope.param("w", jax.nn.initializers.ones, (2,))
          Array([1., 1.], dtype=float32)
        """
        self.reserve(name, "params")
        params = self._collection("params")
        if name in params:
            if self.run.observer is not None:
                self.run.observer.on_read(self, "params", name)
            expected = expected_shapes(init_fn, init_args, init_kwargs)
            if type(params) is StoreView and params.is_lazy:
                self._check_shapes(name, params.spec(name), expected)
            value = params[name]
            kind = type(value)
            if kind is ArrayImpl or issubclass(kind, Tracer):  # a plain array has no boxes
                if expected and value.shape != expected[0]:
                    raise ScopeParamShapeError(name, self.path_text, value.shape, expected[0])
                return value
            if kind is StoreView:
                value = value.snapshot()
            self._check_shapes(name, value, expected)
            return meta.unbox(value) if unbox else value
        if in_filter(self.mutable, "params"):
            value = initial_value(init_fn, self.make_rng("params"), init_args, init_kwargs)
            self.put_variable("params", name, value)
        else:
            value = self._missing(
                "params",
                name,
                lambda: init_fn(jax.random.key(0), *init_args, **init_kwargs),
                is_param=True,
            )
        return meta.unbox(value) if unbox else value

    def _check_shapes(
        self, name: str, value: PyTree, expected: tuple[tuple[int, ...], ...]
    ) -> None:
        for leaf, shape in zip(jax.tree.leaves(value), expected, strict=False):
            if np.shape(leaf) != shape:
                raise ScopeParamShapeError(name, self.path_text, np.shape(leaf), shape)

    def _missing(self, col: str, name: str, make: Callable[[], Any], is_param: bool = False) -> Any:
        """Raise for a missing variable of an immutable collection, or create it if an observer asks for that."""
        observer = self.run.observer
        if observer is None or not observer.makes_missing:
            self._raise_not_found(col, name, is_param)
        value = make()
        observer.on_missing(self, col, name, value)
        merge(self._mutable_collection(col), name, value)
        return value

    def _transform_blocking(self, col: str) -> str | None:
        """Return the name of the enclosing transform that hides a collection or makes it immutable, if any."""
        for lifted_from, root in self._lifted_roots():
            outer = lifted_from.outer
            is_carried = any(in_filter(part, col) for part in lifted_from.carried)
            if not is_carried and outer._variables.get(col):
                return lifted_from.transform
            if in_filter(outer.mutable, col) and not in_filter(root.mutable, col):
                return lifted_from.transform
        return None

    def _raise_not_found(self, col: str, name: str, is_param: bool = False) -> NoReturn:
        top = self.root._variables
        if self.is_collection_empty(col):
            transform = self._transform_blocking(col)
            if transform is not None:
                raise UnliftedCollectionError(transform, col, name, self.path_text)
            unwrapped = col not in top and (*self.path, name)[0] in top
            raise ScopeCollectionNotFound(col, name, self.path_text, found=top, unwrapped=unwrapped)
        siblings = self._collection(col)
        if is_param:
            raise ScopeParamNotFoundError(name, self.path_text, siblings)
        raise ScopeVariableNotFoundError(name, col, self.path_text, siblings)


class Variable(Generic[_T]):
    """A mutable reference to a variable: read and write `value`.

    Attributes:
      scope: the scope that holds the variable.
      collection: name of the collection.
      name: name of the variable in the scope.
      unbox: whether `value` is the content of the variable's boxes (`AxisMetadata`), if it has any.

    Example:
      >>> import linen_core as nn
      >>> scope = nn.Scope({"state": {"n": 1}}, mutable=["state"])
      >>> n = Variable(scope, "state", "n")
      >>> n.value += 1
      >>> scope.get_variable("state", "n"), n.is_mutable()
      (2, True)
    """

    __slots__ = ("__weakref__", "collection", "name", "scope", "unbox")

    def __init__(self, scope: Scope, collection: str, name: str, unbox: bool = True) -> None:
        self.scope = scope
        self.collection = collection
        self.name = name
        self.unbox = unbox

    @property
    def value(self) -> _T:
        """The variable's value. Assignment raises `ModifyScopeVariableError` if the collection is immutable."""
        found = self.scope.get_variable(self.collection, self.name)
        return meta.unbox(found) if self.unbox else found  # type: ignore[no-any-return]

    @value.setter
    def value(self, value: _T) -> None:
        if self.unbox:
            value = self._boxed_like_current(value)
        self.scope.put_variable(self.collection, self.name, value)

    def _boxed_like_current(self, value: _T) -> _T:
        """Put the value into the current boxes of the variable, if both have the same structure."""
        current = self.scope.get_variable(self.collection, self.name)
        nodes, structure = jax.tree.flatten(current, is_leaf=meta.is_axis_metadata)
        if not any(map(meta.is_axis_metadata, nodes)):
            return value
        same = structure == jax.tree.structure(value, is_leaf=meta.is_axis_metadata)  # type: ignore[operator]
        if not same:
            return value
        return meta.replace_boxed(current, value)  # type: ignore[no-any-return]

    def is_mutable(self) -> bool:
        """Return whether the variable's collection can be written."""
        return self.scope.is_mutable_collection(self.collection)

    def __repr__(self) -> str:
        return f"Variable({self.collection!r}, {self.name!r} at {self.scope.path_text})"


def merge(target: dict[str, Any], name: str, value: PyTree) -> None:
    """Store a value in nested dicts. A mapping is merged into an existing one."""
    current = target.get(name)
    if isinstance(current, dict) and isinstance(value, Mapping):
        for key, item in value.items():
            merge(current, key, item)
    else:
        target[name] = value
