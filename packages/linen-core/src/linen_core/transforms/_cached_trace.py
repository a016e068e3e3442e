"""Reuses the trace of an equal call, including the side effects that tracing had on the module.

`jax.jit` caches the trace of a function. On a cache hit the module does not run, so it does not name its submodules and
does not increment its RNG counters. A later draw would then repeat a key. The traced function therefore returns these
side effects as static output, and a cache hit applies them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from linen_core import traverse_util
from linen_core.module.base import Module
from linen_core.scope.scope import Scope
from linen_core.transforms._packing import Groups, Lifted

__all__ = ["CachedTrace"]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _SideEffects:
    """Side effects of a trace. Static, because a jitted function can only return arrays and static data."""

    draws: tuple[tuple[tuple[Any, int], ...], ...]
    """For each scope the increment of each RNG counter, by path."""
    autonames: tuple[tuple[str, int], ...]
    """The number of automatically named submodules of each class, after the call."""


class CachedTrace:
    """One call of a function of scopes, which runs only if JAX has no trace of an equal call.

    Args:
      fn: the function of scopes; it calls a method of the module.
      lifted: the scopes of the call.
      module: the module, or None for a function that calls none.
    """

    def __init__(self, fn: Callable[..., Any], lifted: Lifted, module: Module | None) -> None:
        self._fn = fn
        self._lifted = lifted
        self._module = module
        self._has_run = False

    def run(
        self, variable_groups: Groups, rng_groups: Groups, /, *args: object, **kwargs: object
    ) -> Any:
        """Call the function under the trace of JAX; return its result, the groups written and the side effects."""
        self._has_run = True
        scopes = self._lifted.scopes
        before = [_flat_counters(scope) for scope in scopes]
        result, groups = self._lifted.call(self._fn, variable_groups, rng_groups, *args, **kwargs)
        draws = tuple(
            _increments(old, _flat_counters(scope))
            for scope, old in zip(scopes, before, strict=True)
        )
        cursor = {} if self._module is None else self._module._state.autoname_cursor
        autonames = tuple(cursor.items())
        return result, groups, _SideEffects(draws, autonames)

    def apply_side_effects(self, effects: _SideEffects) -> None:
        """Update names and RNG counters after a cache hit; a call that was traced has updated them itself."""
        if self._has_run:
            return
        for scope, increments in zip(self._lifted.scopes, effects.draws, strict=True):
            for path, increment in increments:
                counters = scope.rng_counters
                for name in path[:-1]:
                    counters = counters.setdefault(name, {})
                counters[path[-1]] = counters.get(path[-1], 0) + increment
        if self._module is not None:
            self._module._state.autoname_cursor = dict(effects.autonames)


def _flat_counters(scope: Scope) -> dict[Any, int]:
    return traverse_util.flatten_dict(scope.rng_counters)


def _increments(old: dict[Any, int], new: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    changes = ((path, count - old.get(path, 0)) for path, count in new.items())
    return tuple((path, change) for path, change in changes if change)
