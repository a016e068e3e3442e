"""One trace for equal calls: what a trace did besides its result is done again where JAX reuses it.

JAX remembers the trace of a function. A call that finds one does not run the module, so the names that the module
would have given and the RNG counters that it would have moved are part of what the traced function returns, as static
output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax

from linen_core import traverse_util
from linen_core.module.base import Module
from linen_core.scope.scope import Scope
from linen_core.transforms._packing import Groups, Lifted

__all__ = ["Trace"]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Effects:
    """What a trace did besides its result; part of the structure of what the traced function returns."""

    counts: tuple[tuple[tuple[Any, int], ...], ...]
    """For each scope how far each RNG counter went."""
    names: tuple[tuple[str, int], ...]
    """How many submodules of each class the module had named in the end."""


class Trace:
    """One call of a function of scopes, which runs unless JAX remembers an equal call.

    Args:
      fn: the function of scopes; it calls a method of the module.
      lifted: the scopes of the call.
      module: the module.
    """

    def __init__(self, fn: Callable[..., Any], lifted: Lifted, module: Module) -> None:
        self._fn = fn
        self._lifted = lifted
        self._module = module
        self._has_run = False

    def run(
        self, variable_groups: Groups, rng_groups: Groups, /, *args: object, **kwargs: object
    ) -> Any:
        """Call the function, for JAX to trace; return the result, the groups written and the effects."""
        self._has_run = True
        scopes = self._lifted.scopes
        before = [_flat_counts(scope) for scope in scopes]
        inner = self._lifted.open(variable_groups, rng_groups)
        result = self._fn(inner, *args, **kwargs)
        groups = self._lifted.close(inner)
        counts = (
            _difference(_flat_counts(scope), old) for scope, old in zip(scopes, before, strict=True)
        )
        names = self._module._state.autoname_cursor.items()
        return result, groups, _Effects(tuple(counts), tuple(names))

    def apply_effects(self, effects: _Effects) -> None:
        """Name and count as running the function would have done, unless it has run."""
        if self._has_run:
            return
        for scope, change in zip(self._lifted.scopes, effects.counts, strict=True):
            _count_on(scope, change)
        self._module._state.autoname_cursor = dict(effects.names)


def _flat_counts(scope: Scope) -> dict[Any, int]:
    return traverse_util.flatten_dict(scope.rng_counters)


def _difference(new: dict[Any, int], old: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    changes = ((path, count - old.get(path, 0)) for path, count in new.items())
    return tuple((path, change) for path, change in changes if change)


def _count_on(scope: Scope, change: Iterable[tuple[Any, int]]) -> None:
    for path, count in change:
        counters = scope.rng_counters
        for name in path[:-1]:
            counters = counters.setdefault(name, {})
        counters[path[-1]] = counters.get(path[-1], 0) + count
