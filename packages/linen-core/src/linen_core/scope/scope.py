"""Scope: a cursor into variables that makes parameters and variables, and checks those that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import jax
import numpy as np

from linen_core import meta
from linen_core._jax_compat import ArrayImpl, Tracer
from linen_core.errors import (
    ScopeCollectionNotFound,
    ScopeParamNotFoundError,
    ScopeParamShapeError,
    ScopeVariableNotFoundError,
    UnliftedCollectionError,
)
from linen_core.filters import in_filter
from linen_core.scope.cursor import Cursor, merge
from linen_core.scope.origin import who_keeps_out
from linen_core.scope.shapes import expected_shapes
from linen_core.scope.variable import Variable
from linen_core.store.view import StoreView

__all__ = ["Scope"]


class Scope(Cursor):
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
      observer: what looks on while the run reads and makes variables; None for nothing.
      origin: at a root inside of a lifted transform where it comes from.
      entered_transform: at a root the lifted transform that runs its function now, on scopes of its own.
      trace: at a root the JAX trace under which it was made; None where values of any trace may be written.

    Example:
      >>> scope = Scope({"params": {"w": 1.0}})
      >>> scope.get_variable("params", "w")
      1.0
    """

    __slots__ = ()

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

        Example:
          >>> import jax
          >>> scope = Scope({"params": {}}, rngs={"params": jax.random.key(0)}, mutable=["params"])
          >>> scope.param("w", jax.nn.initializers.ones, (2,))
          Array([1., 1.], dtype=float32)
        """
        self.reserve(name, "params")
        params = self._collection("params")
        if name in params:
            if self.observer is not None:
                self.observer.on_read(self, "params", name)
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
            if self.observer is not None:
                self.observer.on_param(self, init_fn, init_args, init_kwargs, value)
            self.put_variable("params", name, value)
        else:
            value = self._missing(
                "params",
                name,
                lambda: init_fn(jax.random.key(0), *init_args, **init_kwargs),
                is_param=True,
            )
        return meta.unbox(value) if unbox else value

    def _check_shapes(self, name: str, value: Any, expected: tuple[tuple[int, ...], ...]) -> None:
        for leaf, shape in zip(jax.tree.leaves(value), expected, strict=False):
            if np.shape(leaf) != shape:
                raise ScopeParamShapeError(name, self.path_text, np.shape(leaf), shape)

    def _missing(self, col: str, name: str, make: Callable[[], Any], is_param: bool = False) -> Any:
        """Raise for a variable that is neither there nor may be made; or, if that is noted, make it all the same."""
        observer = self.observer
        if observer is None or not observer.makes_missing:
            self._raise_not_found(col, name, is_param)
        value = make()
        observer.on_missing(self, col, name, value)
        merge(self._mutable_collection(col), name, value)
        return value

    def _raise_not_found(self, col: str, name: str, is_param: bool = False) -> NoReturn:
        top = self.root._variables
        if self.is_collection_empty(col):
            keeper = who_keeps_out(self, col)
            if keeper is not None:
                raise UnliftedCollectionError(keeper, col, name, self.path_text)
            unwrapped = col not in top and (*self._path, name)[0] in top
            raise ScopeCollectionNotFound(col, name, self.path_text, found=top, unwrapped=unwrapped)
        known = self._collection(col)
        if is_param:
            raise ScopeParamNotFoundError(name, self.path_text, known)
        raise ScopeVariableNotFoundError(name, col, self.path_text, known)
