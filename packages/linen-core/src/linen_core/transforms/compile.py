"""`jit` and `fold_rngs` over modules."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax

from linen_core import traverse_util
from linen_core._context import current_context
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.module.base import Module
from linen_core.rng import LazyRng
from linen_core.scope.scope import Scope
from linen_core.transforms._fingerprint import fingerprint
from linen_core.transforms._modules import Target, lift_call, make_lifted
from linen_core.transforms._packing import Lifted, lifts_scopes

__all__ = ["fold_rngs", "jit"]


def jit(
    target: Target,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    device: Any = None,
    backend: str | None = None,
    methods: Any = None,
) -> Target:
    """Lift `jax.jit`: trace and compile a module once for all its instances that are equal.

    It is traced anew when the shapes of arguments or variables change, or anything that the module's behaviour may
    depend on: its fields, what it has counted and named so far, what is mutable, and what surrounds the call.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.
      static_argnums: numbers of arguments that are no arrays, the module being number 0.
      static_argnames: names of keyword arguments that are no arrays.
      donate_argnums: numbers of arguments whose memory may be used for the results.
      device: as for `jax.jit`.
      backend: as for `jax.jit`.
      methods: for a class the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Raises:
      ValueError: a field of the module is unhashable.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         for _ in range(12):
      ...             x = nn.jit(nn.Dense)(3)(x)  # traced once
      ...         return x
      >>> Model().init_with_output(jax.random.key(0), jnp.ones((1, 3)))[0].shape
      (1, 3)
    """
    return _lift_forked(  # type: ignore[no-any-return]
        lift_jit,
        target,
        methods,
        {
            "variables": variables,
            "rngs": rngs,
            "static_argnums": static_argnums,
            "static_argnames": static_argnames,
            "donate_argnums": donate_argnums,
            "device": device,
            "backend": backend,
        },
    )


def fold_rngs(
    target: Target, variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Target:
    """Give a module RNG streams that start from one key each, drawn when it is called.

    Inside, keys depend on nothing above the module. It is what `jit` does to the streams, without compiling.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.

    Returns:
      A module class, or a function of a module.
    """
    return _lift_forked(  # type: ignore[no-any-return]
        lift_fold_rngs, target, None, {"variables": variables, "rngs": rngs}
    )


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Effects:
    """What a trace did besides its result; part of the structure of what the traced function returns."""

    counts: tuple[tuple[tuple[Any, int], ...], ...]
    """For each scope how far each RNG counter went."""
    names: tuple[tuple[str, int], ...]
    """How many submodules of each class the module had named in the end."""


class _Key:
    """The static argument of a jitted function: what it depends on, and the call to trace if it was not yet."""

    def __init__(self, facts: Any, call: Callable[..., Any]) -> None:
        self.facts = facts
        self.call: Callable[..., Any] | None = call
        self.was_traced = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.facts == other.facts

    def __hash__(self) -> int:
        return hash(self.facts)


def lift_jit(
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    donate_argnums: int | Iterable[int] = (),
    **jit_kwargs: Any,
) -> Callable[..., Callable[..., Any]]:
    """Lift `jax.jit` to functions of scopes; see `jit`.

    Returns:
      ``lift(fn, facts, module)`` gives the jitted function of scopes for a function that calls a method of the module
      and depends on nothing but ``facts``.
    """

    @functools.partial(
        jax.jit,
        static_argnums=(0, *_shifted(static_argnums)),
        donate_argnums=_shifted(donate_argnums),
        **{name: value for name, value in jit_kwargs.items() if value is not None},
    )
    def jitted(key: _Key, variable_groups: Any, rng_groups: Any, *args: Any, **kwargs: Any) -> Any:
        assert key.call is not None  # noqa: S101 - a key that was traced is never traced again
        key.was_traced = True
        return key.call(variable_groups, rng_groups, *args, **kwargs)

    def lift(fn: Callable[..., Any], facts: Any, module: Module) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), "jit", takes_kwargs=True)
        def run(lifted: Lifted, *args: Any, **kwargs: Any) -> Any:
            scopes = jax.tree.leaves(lifted.open(lifted.variable_groups, lifted.rng_groups))

            def call(variable_groups: Any, rng_groups: Any, *args: Any, **kwargs: Any) -> Any:
                before = [_flat_counts(scope) for scope in scopes]
                inner = lifted.open(variable_groups, rng_groups)
                result = fn(inner, *args, **kwargs)
                groups = lifted.close(inner)
                counts = (
                    _difference(_flat_counts(scope), old)
                    for scope, old in zip(scopes, before, strict=True)
                )
                names = module._state.autoname_cursor.items()
                return result, groups, _Effects(tuple(counts), tuple(names))

            mutable = tuple(fingerprint(scope.mutable, ("mutable",)) for scope in scopes)
            key = _Key((facts, mutable), call)
            rng_groups = _without_suffixes(lifted.rng_groups)
            try:
                result, groups, effects = jitted(
                    key, lifted.variable_groups, rng_groups, *args, **kwargs
                )
            finally:
                key.call = (
                    None  # JAX keeps the key; the module and its scopes must not live as long
                )
            if not key.was_traced:
                for scope, change in zip(scopes, effects.counts, strict=True):
                    _count_on(scope, change)
                module._state.autoname_cursor = dict(effects.names)
            return result, groups

        return run

    return lift


lift_jit.__name__ = "jit"  # the class that a transform makes is named after it: JitDense


def lift_fold_rngs(
    variables: CollectionFilter = True, rngs: PRNGSequenceFilter = True
) -> Callable[..., Callable[..., Any]]:
    """Lift `fold_rngs` to functions of scopes."""

    def lift(fn: Callable[..., Any], facts: Any, module: Module) -> Callable[..., Any]:
        del facts, module

        @lifts_scopes((variables,), (variables,), (rngs,), "fold_rngs", takes_kwargs=True)
        def run(lifted: Lifted, *args: Any, **kwargs: Any) -> Any:
            scopes = lifted.open(lifted.variable_groups, _without_suffixes(lifted.rng_groups))
            result = fn(scopes, *args, **kwargs)
            return result, lifted.close(scopes)

        return run

    return lift


lift_fold_rngs.__name__ = "fold_rngs"


def _lift_forked(
    transform: Callable[..., Any], target: Any, methods: Any, options: dict[str, Any]
) -> Any:
    """Apply a transform that is set up once, to a module class or a function of a module."""

    def transformed(fn: Callable[..., Any], _: Any, options: Any, cls: Any = None) -> Any:
        lift = transform(**options)

        @functools.wraps(fn)
        def wrapped(self: Module, *args: Any, **kwargs: Any) -> Any:
            with _forked_rngs(self):
                facts = fingerprint(self, ()), current_context()[1:]
                return lift_call(
                    lambda core_fn: lift(core_fn, facts, self), [fn], self, args, kwargs, cls
                )

        return wrapped

    return make_lifted(transform, transformed, target, methods, (), options)


@contextlib.contextmanager
def _forked_rngs(module: Module) -> Iterator[None]:
    """Let each RNG stream of a module start from a key drawn now."""
    scope = module.scope
    if scope is None:
        yield
        return
    streams = scope.rngs
    scope.rngs = {name: LazyRng.create(module.make_rng(name)) for name in streams}
    try:
        yield
    finally:
        scope.rngs = streams


def _without_suffixes(rng_groups: Any) -> Any:
    return jax.tree.map(
        lambda rng: rng.clear_suffix(), rng_groups, is_leaf=lambda leaf: isinstance(leaf, LazyRng)
    )


def _shifted(argnums: int | Iterable[int]) -> tuple[int, ...]:
    """Number arguments as the jitted function has them: a key and two groups stand in place of the module."""
    numbers = argnums if isinstance(argnums, Iterable) else (argnums,)
    return tuple(number + 2 for number in numbers if number > 0)


def _flat_counts(scope: Scope) -> dict[Any, int]:
    return traverse_util.flatten_dict(scope.rng_counters)


def _difference(new: dict[Any, int], old: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    return tuple((path, count - old.get(path, 0)) for path, count in new.items())


def _count_on(scope: Scope, change: Iterable[tuple[Any, int]]) -> None:
    """Do to a scope's counters what a trace that was spared would have done."""
    for path, count in change:
        counters = scope.rng_counters
        for name in path[:-1]:
            counters = counters.setdefault(name, {})
        counters[path[-1]] = counters.get(path[-1], 0) + count
