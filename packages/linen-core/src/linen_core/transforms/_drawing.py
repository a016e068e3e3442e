"""Keys for a trace that serves several places: drawn outside of it, where each place has its own.

The keys of an RNG stream depend on where they are drawn, by the names that are folded into them. The first trace
of a block notes which keys it draws, by what is folded in beyond the names that lead to the block. To a trace that
is to serve other places too these keys are arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax

from linen_core._context import note_place_read
from linen_core.rng import LazyRng, fold_in_static

__all__ = ["Draw", "Drawings"]

Draw: TypeAlias = tuple[int, tuple[str | int, ...]]
"""One key: the number of its stream among those of the call, and what is folded in after the stream's suffix."""


class Drawings:
    """The keys of one call.

    Args:
      rng_groups: the RNG streams of the call, a pytree with `LazyRng` as leaves.
      planned: the keys that a trace of an equal call has drawn; None where there was none.

    Attributes:
      noted: the keys that the call draws inside of the trace, in order.
    """

    def __init__(self, rng_groups: Any, planned: tuple[Draw, ...] | None) -> None:
        leaves, structure = jax.tree.flatten(rng_groups, is_leaf=_is_stream)
        self._streams: list[LazyRng] = leaves
        self._structure: Any = structure
        self._planned = planned
        self.noted: dict[Draw, None] = {}

    def keys(self) -> tuple[list[Any], list[Any]]:
        """Return what to hand to the trace: the keys of the streams, and those that are drawn beforehand."""
        drawn = [
            LazyRng.create(self._streams[number], *rest).as_jax_rng()
            for number, rest in self._planned or ()
        ]
        return [stream.rng for stream in self._streams], drawn

    def streams(self, keys: tuple[list[Any], list[Any]]) -> Any:
        """Return the streams to be used inside of the trace, for what the trace makes of `keys`."""
        bases, drawn = keys
        known = dict(zip(self._planned or (), drawn, strict=True))
        streams = []
        for number, (base, outer) in enumerate(zip(bases, self._streams, strict=True)):
            stream = LazyRng(base, outer.suffix)
            stream.drawing = _Drawing(self, number, known)
            streams.append(stream)
        return jax.tree.unflatten(self._structure, streams)

    def draw(self, draw: Draw, rng: Any, suffix: tuple[str | int, ...]) -> Any:
        """Draw a key inside of the trace."""
        if self._planned is not None or self._streams[draw[0]].drawing is not None:
            note_place_read()  # the key is of this place, and cannot be handed in
        self.noted[draw] = None
        return fold_in_static(rng, suffix)

    def suffix_of(self, number: int) -> tuple[str | int, ...]:
        """Return what is folded into the keys of a stream because of the place."""
        return self._streams[number].suffix


class _Drawing:
    """Draws the keys of one stream inside of a trace."""

    def __init__(self, drawings: Drawings, number: int, known: Mapping[Draw, Any]) -> None:
        self._drawings = drawings
        self._number = number
        self._known = known

    def draw(self, rng: Any, suffix: tuple[str | int, ...]) -> Any:
        draw = self._number, suffix[len(self._drawings.suffix_of(self._number)) :]
        if draw in self._known:
            return self._known[draw]
        return self._drawings.draw(draw, rng, suffix)


def _is_stream(value: Any) -> bool:
    return isinstance(value, LazyRng)
