"""One trace for equal calls: what a call depends on, and what its trace did besides its result.

JAX remembers the trace of a function; a call that finds one spares running the module. What running it would
have done to names and RNG counters is part of what the traced function returns, as static output, and is done
all the same.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax

from linen_core import traverse_util
from linen_core._context import PlaceWatch, current_context, replaced_context
from linen_core.module.base import Module
from linen_core.module.place import surroundings
from linen_core.scope.scope import RECORDER, Scope
from linen_core.scope.variable import Variable
from linen_core.transforms._drawing import Draw, Drawings
from linen_core.transforms._fingerprint import fingerprint
from linen_core.transforms._packing import Lifted

__all__ = ["PlacedTrace", "Trace", "facts_of", "facts_of_run", "mutable_of"]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Effects:
    """What a trace did besides its result; part of the structure of what the traced function returns."""

    counts: tuple[tuple[tuple[Any, int], ...], ...]
    """For each scope how far each RNG counter went."""
    names: tuple[tuple[str, int], ...]
    """How many submodules of each class the module had named in the end."""


class Trace:
    """One call of a function of scopes, which is run unless JAX remembers an equal one.

    Args:
      fn: the function of scopes; it calls a method of the module.
      lifted: the scopes of the call.
      module: the module; None for a function that calls several times or none.
    """

    def __init__(self, fn: Callable[..., Any], lifted: Lifted, module: Module | None) -> None:
        self._fn = fn
        self._lifted = lifted
        self._module = module
        self._was_run = False

    @functools.cached_property
    def _scopes(self) -> list[Scope]:
        lifted = self._lifted
        return jax.tree.leaves(lifted.open(lifted.variable_groups, lifted.rng_groups))

    def run(self, variable_groups: Any, rng_groups: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call the function, for JAX to trace; return the result, the groups written and the effects."""
        self._was_run = True
        before = [_flat_counts(scope) for scope in self._scopes]
        inner = self._lifted.open(variable_groups, rng_groups)
        result = self._fn(inner, *args, **kwargs)
        groups = self._lifted.close(inner)
        counts = (
            _difference(_flat_counts(scope), old)
            for scope, old in zip(self._scopes, before, strict=True)
        )
        names = self._module._state.autoname_cursor.items() if self._module is not None else ()
        return result, groups, _Effects(tuple(counts), tuple(names))

    def settle(self, effects: _Effects) -> None:
        """Do what running the function would have done, if it was spared."""
        if self._was_run or self._module is None:
            return
        if any(effects.counts):
            for scope, change in zip(self._scopes, effects.counts, strict=True):
                _count_on(scope, change)
        self._module._state.autoname_cursor = dict(effects.names)


class PlacedTrace(Trace):
    """A `Trace` that may serve other places in the tree of modules, if the code does not ask for its own.

    Args:
      fn: as for `Trace`.
      lifted: as for `Trace`.
      module: as for `Trace`.
      planned: the keys that a trace of an equal call has drawn; None where there was none.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        lifted: Lifted,
        module: Module | None,
        planned: tuple[Draw, ...] | None,
    ) -> None:
        super().__init__(fn, lifted, module)
        self._drawings = Drawings(lifted.rng_groups, planned)
        self._watch = PlaceWatch(current_context().watch)

    @property
    def place_was_read(self) -> bool:
        """Whether what was traced serves this place only."""
        return self._watch.place_was_read

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The keys that were drawn inside of the trace: with any it serves this place only."""
        return tuple(self._drawings.noted)

    def keys(self) -> Any:
        """Return the keys to hand to the trace in place of the RNG streams."""
        return self._drawings.keys()

    def run(self, variable_groups: Any, rng_groups: Any, /, *args: Any, **kwargs: Any) -> Any:
        """As `Trace.run`; `keys` stand in place of the RNG streams."""
        with replaced_context(watch=self._watch):
            streams = self._drawings.streams(rng_groups)
            return super().run(variable_groups, streams, *args, **kwargs)


def mutable_of(lifted: Lifted) -> Any:
    """Return which collections the scopes of a call may write, in hashable form."""
    return tuple(fingerprint(scope.mutable, ("mutable",)) for scope in lifted.scopes)


def facts_of(module: Module) -> Any:
    """Return all that a method of a module may depend on, but for its arguments, in hashable form.

    Raises:
      ValueError: something in the module is unhashable.
    """
    return fingerprint(module, ()), surroundings()


def facts_of_run(module: Module, args: Any, kwargs: Any) -> Any:
    """As `facts_of`, for calls in one run of `init` or `apply`; None where nothing may be promised.

    Nothing is promised where the module must really run: someone looks on (interceptors, a recorder), modules are
    among the arguments, or a field is unhashable.
    """
    scope = module.scope
    context = current_context()
    if scope is None or context.interceptors or RECORDER in scope.flags:
        return None
    if any(isinstance(leaf, Module | Variable) for leaf in jax.tree.leaves((args, kwargs))):
        return None
    try:
        facts = fingerprint(module, ()), surroundings()
        hash(facts)
    except (TypeError, ValueError, RecursionError):
        return None
    return facts


def _flat_counts(scope: Scope) -> dict[Any, int]:
    return traverse_util.flatten_dict(scope.rng_counters)


def _difference(new: dict[Any, int], old: dict[Any, int]) -> tuple[tuple[Any, int], ...]:
    changes = ((path, count - old.get(path, 0)) for path, count in new.items())
    return tuple((path, change) for path, change in changes if change)


def _count_on(scope: Scope, change: Iterable[tuple[Any, int]]) -> None:
    """Do to a scope's counters what a trace that was spared would have done."""
    for path, count in change:
        counters = scope.rng_counters
        for name in path[:-1]:
            counters = counters.setdefault(name, {})
        counters[path[-1]] = counters.get(path[-1], 0) + count
