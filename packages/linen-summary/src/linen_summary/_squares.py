"""Rectangles for the parts of a whole, as square as can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Box", "divide"]


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    def shrunk(self, edge: float, top: float) -> Box:
        """Return what is left inside an edge and a strip at the top."""
        width, height = self.width - 2 * edge, self.height - 2 * edge - top
        return Box(self.x + edge, self.y + edge + top, max(0.0, width), max(0.0, height))


def divide(box: Box, weights: Sequence[float]) -> list[Box]:
    """Divide a rectangle into ones whose areas are in proportion to weights.

    The squarified layout of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): rows of rectangles are laid
    along the shorter side, each as long as that makes its worst rectangle squarer.

    Args:
      box: the whole.
      weights: positive numbers, the largest first.

    Returns:
      A rectangle for each weight.

    Example:
      >>> [tuple(part) for part in divide(Box(0, 0, 4, 2), [2, 1, 1])]
      [(0, 0.0, 2.0, 2.0), (2.0, 0.0, 2.0, 1.0), (2.0, 1.0, 2.0, 1.0)]
    """
    scale = box.width * box.height / sum(weights) if weights else 0.0
    areas = [weight * scale for weight in weights]
    made: list[Box] = []
    while areas:
        side = min(box.width, box.height)
        length = 1
        while length < len(areas) and _worst(areas[: length + 1], side) <= _worst(
            areas[:length], side
        ):
            length += 1
        row, box = _lay(box, areas[:length])
        made += row
        areas = areas[length:]
    return made


def _worst(areas: Sequence[float], side: float) -> float:
    """Return the worst ratio of the sides of rectangles in one row along a side."""
    total = sum(areas)
    if not side or not total:
        return float("inf")
    square = (total / side) ** 2
    return max(max(square / area, area / square) if area else 1.0 for area in areas)


def _lay(box: Box, areas: Sequence[float]) -> tuple[list[Box], Box]:
    """Lay rectangles along the shorter side; return them and what is left."""
    total = sum(areas)
    made = []
    if box.width >= box.height:
        width, y = (total / box.height if box.height else 0.0), float(box.y)
        for area in areas:
            height = area / width if width else 0.0
            made.append(Box(box.x, y, width, height))
            y += height
        return made, Box(box.x + width, box.y, max(0.0, box.width - width), box.height)
    height, x = (total / box.width if box.width else 0.0), float(box.x)
    for area in areas:
        width = area / height if height else 0.0
        made.append(Box(x, box.y, width, height))
        x += width
    return made, Box(box.x, box.y + height, box.width, max(0.0, box.height - height))
