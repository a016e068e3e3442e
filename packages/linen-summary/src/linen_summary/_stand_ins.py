"""Equations that stand in a trace for a call whose cost is known, and differentiate as that call does.

The equation `placeholder` makes arrays out of arrays, at a cost that is written on it. In place of a call there is
one; where the trace is differentiated there is a second for the way back, on which the cost of both is written. The
call is known by what `Probes` noted while it was differentiated alone: which of its outputs depend on what is
differentiated, and which of its inputs are given a cotangent. A stand-in gives cotangents to the same inputs, and
notes where the call would do something else: where an input or an output is not differentiated in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from linen_summary._jax_compat import new_primitive
from linen_summary._rounded_sums import Cost

__all__ = ["Probes", "StandIn", "placeholder"]

NOTHING = Cost(0, 0)

placeholder = new_primitive("linen_placeholder", lambda *_, avals, **__: list(avals))
"""Makes arrays of the types `avals`, for `cost`."""


class Probes:
    """Notes how a function is differentiated.

    Attributes:
      gives_cotangent: for each input whether it is given a cotangent.
      is_differentiated: for each output whether it depends on an input, as differentiation sees it.
    """

    def __init__(self) -> None:
        self.gives_cotangent: list[bool] = []
        self.is_differentiated: list[bool] = []

    def on_way_back(self, arrays: list[Any]) -> list[Any]:
        """Return a function's inputs, and note which are given a cotangent."""
        self.gives_cotangent = [False] * len(arrays)
        places = [place for place, array in enumerate(arrays) if _is_inexact(array)]

        def note(cotangents: Sequence[Any]) -> None:
            for place, cotangent in zip(places, cotangents, strict=True):
                self.gives_cotangent[place] = not isinstance(cotangent, SymbolicZero)

        watched = _watched([arrays[place] for place in places], lambda _: None, note)
        replaced = dict(zip(places, watched, strict=True))
        return [replaced.get(place, array) for place, array in enumerate(arrays)]

    def on_way_there(self, arrays: list[Any]) -> list[Any]:
        """Return a function's outputs, and note which depend on its inputs."""

        def note(primals: Sequence[Any]) -> None:
            self.is_differentiated = [primal.perturbed for primal in primals]

        return _watched(arrays, note, lambda _: None)


def _watched(
    arrays: list[Any],
    note_there: Callable[[Sequence[Any]], None],
    note_back: Callable[[Sequence[Any]], None],
) -> list[Any]:
    """Return arrays as they are, and note how they are differentiated."""

    @jax.custom_vjp
    def same(*arrays: Any) -> list[Any]:
        return list(arrays)

    def there(*primals: Any) -> tuple[list[Any], None]:
        note_there(primals)
        return [primal.value for primal in primals], None

    def back(_: None, cotangents: Sequence[Any]) -> tuple[Any, ...]:
        note_back(cotangents)
        return tuple(None if isinstance(c, SymbolicZero) else c for c in cotangents)

    same.defvjp(there, back, symbolic_zeros=True)
    return list(same(*arrays)) if arrays else []


class StandIn:
    """Stands for calls that are equal.

    Args:
      outputs: the types of the arrays that the call returns.
      is_used: for each key and array that it is handed whether it is used at all.
      cost: what the call costs; with ``probes``, what it and its way back cost.
      probes: how the call is differentiated, all its outputs; None where it is not to be.
    """

    def __init__(
        self,
        outputs: Sequence[Any],
        is_used: Sequence[bool],
        cost: Cost,
        probes: Probes | None = None,
    ) -> None:
        self._outputs = tuple(outputs)
        self._is_used = is_used
        self._cost = cost
        self._probes = probes

    def __call__(
        self, inputs: Sequence[Any], anchor: Any, note_misfit: Callable[[], None]
    ) -> list[Any]:
        """Stand for a call with keys and arrays.

        Args:
          inputs: the keys and arrays.
          anchor: an array that is differentiated, as the variables of the call are.
          note_misfit: is called where the derivative is not the call's.
        """
        if self._probes is None:
            return self._made(inputs, self._cost)
        return self._differentiable(self._probes, inputs, anchor, note_misfit)

    def _made(self, inputs: Sequence[Any], cost: Cost) -> list[Any]:
        used = [array for array, is_used in zip(inputs, self._is_used, strict=True) if is_used]
        return placeholder.bind(*used, avals=self._outputs, cost=cost)  # type: ignore[no-any-return]

    def _differentiable(
        self,
        probes: Probes,
        inputs: Sequence[Any],
        anchor: Any,
        note_misfit: Callable[[], None],
    ) -> list[Any]:
        given = tuple(
            jax.typeof(array).to_tangent_aval()
            for array, is_given in zip(inputs, probes.gives_cotangent, strict=True)
            if is_given
        )

        @jax.custom_vjp
        def call(_: Any, *arrays: Any) -> list[Any]:
            return self._made(arrays, NOTHING)

        def there(_: Any, *primals: Any) -> tuple[list[Any], None]:
            if any(_is_inexact(primal.value) and not primal.perturbed for primal in primals):
                note_misfit()
            return self._made([primal.value for primal in primals], NOTHING), None

        def back(_: None, cotangents: Sequence[Any]) -> tuple[Any, ...]:
            if any(isinstance(cotangent, SymbolicZero) for cotangent in cotangents):
                note_misfit()
            made = iter(placeholder.bind(*cotangents, avals=given, cost=self._cost))
            return None, *(next(made) if is_given else None for is_given in probes.gives_cotangent)

        call.defvjp(there, back, symbolic_zeros=True)
        return list(call(anchor, *inputs))


def _is_inexact(array: Any) -> bool:
    return bool(jnp.issubdtype(array.dtype, jnp.inexact))
