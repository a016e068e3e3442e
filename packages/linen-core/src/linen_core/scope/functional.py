"""`init` and `apply` for plain functions of a scope."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from linen_core._context import context_var
from linen_core.errors import (
    ApplyScopeInvalidVariablesStructureError,
    ApplyScopeInvalidVariablesTypeError,
    InvalidRngError,
)
from linen_core.filters import CollectionFilter
from linen_core.rng import is_valid_rng, is_valid_rngs
from linen_core.scope.cursor import RunObserver
from linen_core.scope.deferred import run_deferred
from linen_core.scope.planning import read_ahead
from linen_core.scope.scope import Scope
from linen_core.store.view import Variables, readable, working_copy
from linen_core.typing import PRNGKey, RNGSequences

__all__ = [
    "INITIALIZING",
    "apply",
    "as_streams",
    "bind",
    "hand_back",
    "init",
    "lazy_init",
    "run_in_scope",
]

INITIALIZING: Mapping[str, Any] = MappingProxyType({"initializing": True})
"""The flags of a run of `init`."""


def bind(
    variables: Variables,
    rngs: RNGSequences | None = None,
    mutable: CollectionFilter = False,
    flags: Mapping[str, Any] | None = None,
) -> Scope:
    """Create a root scope over variables.

    Args:
      variables: a mapping of collections, or a store.
      rngs: a key for each RNG stream.
      mutable: the collections that can be written. They are copied; ``variables`` never changes.
      flags: values that `Scope.get_flag` returns.

    Raises:
      ApplyScopeInvalidVariablesTypeError: ``variables`` is not a mapping of mappings with string keys.
      InvalidRngError: ``rngs`` is not a mapping of names to keys.

    Example:
      >>> scope = bind({"params": {"w": 1.0}}, mutable=["state"])
      >>> scope.put_variable("state", "n", 2)
      >>> scope.variables()
      {'params': {'w': 1.0}, 'state': {'n': 2}}
    """
    if rngs is not None and not is_valid_rngs(rngs):
        msg = f"Expected rngs to map names of streams to keys, found {_describe(rngs)}."
        raise InvalidRngError(msg)
    scope = _root_scope(variables, rngs, mutable, flags)
    scope.run.trace = None  # a bound module may be used under another trace
    return scope


def _root_scope(
    variables: Variables,
    rngs: Mapping[str, Any] | None,
    mutable: CollectionFilter,
    flags: Mapping[str, Any] | None,
) -> Scope:
    collections = readable(variables)
    _check_collections(collections)
    return Scope(working_copy(collections, mutable), rngs=rngs, mutable=mutable, flags=flags)


def _check_collections(collections: Mapping[str, Any]) -> None:
    for name, collection in collections.items():
        if not isinstance(name, str):
            found = f"a collection named {name!r}, a {type(name).__name__}"
            raise ApplyScopeInvalidVariablesTypeError(found)
        if not isinstance(collection, Mapping):
            found = f"{_kind_of(collection)} as collection {name!r}"
            raise ApplyScopeInvalidVariablesTypeError(found)
        if type(collection) is dict:
            for key in collection:
                if not isinstance(key, str):
                    found = f"the key {key!r} in collection {name!r}"
                    raise ApplyScopeInvalidVariablesTypeError(found)


def _kind_of(value: object) -> str:
    return "an array" if isinstance(value, jax.Array) else f"a {type(value).__name__}"


def _describe(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a mapping of {[f'{key!r}: {type(item).__name__}' for key, item in value.items()]}"
    return f"{value!r} ({type(value).__name__})"


def as_streams(rngs: object, where: str) -> Mapping[str, Any]:
    """Return keys by stream; a single key belongs to the stream 'params'.

    Raises:
      ValueError: ``rngs`` is neither a key nor a mapping of names to keys.
    """
    if isinstance(rngs, Mapping) and is_valid_rngs(rngs):
        return rngs
    if not is_valid_rng(rngs):
        msg = f"{where} expects a key, or a dict of names of streams to keys; found {_describe(rngs)}."
        raise InvalidRngError(msg)
    return {"params": rngs}


def hand_back(scope: Scope) -> Any:
    """Return the mutable collections of a run, converted as `default_store` says."""
    factory = context_var.get().store_factory
    collections = scope.mutable_variables()
    return collections if factory is None else factory(collections)


def apply(
    fn: Callable[..., Any],
    mutable: CollectionFilter = False,
    flags: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Turn a function of a scope into a pure function of variables.

    Args:
      fn: a function whose first argument is a scope.
      mutable: the collections that it can write.
      flags: values that `Scope.get_flag` returns.

    Returns:
      A function of ``(variables, *args, rngs=None, **kwargs)``. It returns the result of ``fn``, paired with the
      mutable collections unless ``mutable`` is False.

    Example:
      >>> apply(lambda scope, x: scope.get_variable("params", "w") * x)({"params": {"w": 3}}, 2)
      6
    """

    @functools.wraps(fn)
    def wrapper(
        variables: Variables,
        *args: object,
        rngs: PRNGKey | RNGSequences | None = None,
        **kwargs: object,
    ) -> Any:
        streams = None if rngs is None else as_streams(rngs, "apply")
        return run_in_scope(fn, variables, args, kwargs, streams, mutable, flags)

    return wrapper


def run_in_scope(
    fn: Callable[..., Any],
    variables: Variables,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    rngs: Mapping[str, Any] | None,
    mutable: CollectionFilter,
    flags: Mapping[str, Any] | None,
    observer: RunObserver | None = None,
) -> Any:
    """Call a function with a root scope over variables, and arguments. The scope is valid during the call.

    Returns:
      The result of ``fn``; unless ``mutable`` is False a pair of the result and the mutable collections.

    Raises:
      ApplyScopeInvalidVariablesStructureError: ``variables`` has a second 'params' inside 'params'.
      ApplyScopeInvalidVariablesTypeError: ``variables`` is neither a mapping of collections nor a store.
    """
    if not isinstance(variables, Mapping):

        def run(
            collections: Mapping[str, Any],
            args: tuple[Any, ...],
            kwargs: Mapping[str, Any],
            rngs: Mapping[str, Any] | None,
        ) -> None:
            run_in_scope(fn, collections, args, kwargs, rngs, mutable, flags)

        context = context_var.get()
        constants = (fn, mutable, flags, context.interceptors, context.keeps_adopted_names)
        variables = read_ahead(variables, run, (args, kwargs, rngs), constants)
    params = variables.get("params")
    if isinstance(params, Mapping) and "params" in params:
        raise ApplyScopeInvalidVariablesStructureError
    root = _root_scope(variables, rngs, mutable, flags)
    root.run.observer = observer
    try:
        result = fn(root, *args, **kwargs)
    finally:
        root.invalidate()
    return result if mutable is False else (result, hand_back(root))


def init(
    fn: Callable[..., Any], mutable: CollectionFilter = True, flags: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Turn a function of a scope into a pure function that creates its variables.

    Args:
      fn: a function whose first argument is a scope.
      mutable: the collections that are created.
      flags: values that `Scope.get_flag` returns; ``initializing`` is added.

    Returns:
      A function of ``(rngs, *args, **kwargs)`` that returns the result of ``fn`` and the variables.

    Example:
      >>> import jax
      >>> init(lambda scope: scope.param("w", lambda key: 3))(jax.random.key(0))
      (3, {'params': {'w': 3}})
    """
    all_flags = {**(flags or {}), **INITIALIZING}

    @functools.wraps(fn)
    def wrapper(rngs: PRNGKey | RNGSequences, *args: object, **kwargs: object) -> Any:
        streams = as_streams(rngs, "init")
        return run_in_scope(fn, {}, args, kwargs, streams, mutable, all_flags)

    return wrapper


def lazy_init(
    fn: Callable[..., Any], mutable: CollectionFilter = True, flags: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """Turn a function of a scope into one that creates its variables without running the forward pass.

    Like `init`, but only the variables are returned, and an argument may be a `jax.ShapeDtypeStruct` if no variable
    depends on its value.

    Raises:
      LazyInitError: from the returned function, when a variable depends on such an argument.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def scale(scope, x):
      ...     return x * scope.param("w", jax.nn.initializers.ones, x.shape[-1:])
      >>> lazy_init(scale)(jax.random.key(0), jax.ShapeDtypeStruct((5, 2), jnp.float32))
      {'params': {'w': Array([1., 1.], dtype=float32)}}
    """
    run = init(fn, mutable, flags)

    @functools.wraps(fn)
    def wrapper(rngs: PRNGKey | RNGSequences, *args: object, **kwargs: object) -> Any:
        return run_deferred(lambda *args, **kwargs: run(rngs, *args, **kwargs)[1], args, kwargs)

    return wrapper
