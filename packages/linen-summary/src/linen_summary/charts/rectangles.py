"""The layout of treemaps: nested rectangles, as square as possible, with areas in proportion to weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from linen_summary.charts.parts import Part

__all__ = ["Box", "divide", "tiles"]


class Box(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float

    def shrunk(self, margin: float, top: float) -> Box:
        """Return the rectangle within a margin and below a strip at the top."""
        width, height = self.width - 2 * margin, self.height - 2 * margin - top
        return Box(self.x + margin, self.y + margin + top, max(0.0, width), max(0.0, height))


def divide(box: Box, weights: Sequence[float]) -> list[Box]:
    """Divide a rectangle into rectangles whose areas are in proportion to weights.

    This is the squarified layout of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000). It places rows of
    rectangles along the shorter side. A row grows while its least square rectangle becomes more square.

    Args:
      box: the rectangle.
      weights: positive numbers, the largest first.

    Returns:
      A rectangle for each weight.

    Example:
      >>> [tuple(part) for part in divide(Box(0, 0, 4, 2), [2, 1, 1])]
      [(0, 0.0, 2.0, 2.0), (2.0, 0.0, 2.0, 1.0), (2.0, 1.0, 2.0, 1.0)]
    """
    scale = box.width * box.height / sum(weights) if weights else 0.0
    areas = [weight * scale for weight in weights]
    boxes: list[Box] = []
    while areas:
        side = min(box.width, box.height)
        length = 1
        while length < len(areas) and _worst(areas[: length + 1], side) <= _worst(
            areas[:length], side
        ):
            length += 1
        row, box = _place_row(box, areas[:length])
        boxes += row
        areas = areas[length:]
    return boxes


def _worst(areas: Sequence[float], side: float) -> float:
    """Return the largest ratio of sides among the rectangles of a row along a side."""
    total = sum(areas)
    if not side or not total:
        return float("inf")
    square = (total / side) ** 2
    return max(max(square / area, area / square) if area else 1.0 for area in areas)


def _place_row(box: Box, areas: Sequence[float]) -> tuple[list[Box], Box]:
    """Place rectangles along the shorter side. Returns them and the rest of the box."""
    is_wide = box.width >= box.height
    side = box.height if is_wide else box.width
    thickness = sum(areas) / side if side else 0.0
    start = float(box.y if is_wide else box.x)
    row = []
    for area in areas:
        length = area / thickness if thickness else 0.0
        if is_wide:
            row.append(Box(box.x, start, thickness, length))
        else:
            row.append(Box(start, box.y, length, thickness))
        start += length
    if is_wide:
        return row, Box(box.x + thickness, box.y, max(0.0, box.width - thickness), box.height)
    return row, Box(box.x, box.y + thickness, box.width, max(0.0, box.height - thickness))


def tiles(part: Part, box: Box, margin: float, strip: float) -> Iterator[tuple[Part, Box, bool]]:
    """Lay out a part and the parts in it.

    Args:
      part: the part.
      box: its rectangle.
      margin: distance between the edges of a part and of the parts in it.
      strip: height of the line with the name of a part that has parts in it.

    Yields:
      Parts with their rectangles, outer ones first, and whether a rectangle shows only the part's own share.
    """
    inside = sorted((p for p in part.inside if p.total), key=lambda p: p.total, reverse=True)
    if not inside:
        yield part, box, True
        return
    yield part, box, False
    rest = box.shrunk(margin, strip if box.height > 3 * strip else 0.0)
    shares = [(p, p.total) for p in inside] + ([(part, part.own)] if part.own else [])
    shares.sort(key=lambda share: share[1], reverse=True)
    places = divide(rest, [total for _, total in shares])
    for (inner, _), place in zip(shares, places, strict=True):
        if inner is part:
            yield part, place, True
        else:
            yield from tiles(inner, place, margin, strip)
