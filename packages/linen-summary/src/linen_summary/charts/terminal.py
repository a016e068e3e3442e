"""A treemap as lines of text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from linen_summary.charts.parts import Part, value_text
from linen_summary.charts.rectangles import Box, tiles

__all__ = ["tile_lines"]

_STYLES = ("blue", "yellow", "green", "magenta", "red", "cyan")
_Letter = tuple[str, str]


def tile_lines(root: Part, by: str, width: int, height: int) -> Iterator[Text]:
    """Yield the lines of a treemap. Modules smaller than a letter are left out.

    Args:
      root: the whole.
      by: the quantity.
      width: letters per line.
      height: the largest number of lines.
    """
    height = max(3, min(height - 2, width // 4))
    grid: list[list[_Letter]] = [[(" ", "")] * width for _ in range(height)]
    styles = {part.path: _STYLES[n % len(_STYLES)] for n, part in enumerate(root.inside)}
    for part, box, is_own in tiles(root, Box(0, 0, width, 2 * height), 0, 0):
        if is_own:
            number = part.own if part.inside else part.total
            texts = [part.name, part.label, value_text(number, by)]
            _write_tile(grid, box, texts, styles.get(part.path[:1], ""))
    for line in grid:
        yield Text.assemble(*line, no_wrap=True, overflow="crop")


def _write_tile(grid: list[list[_Letter]], box: Box, texts: list[str], style: str) -> None:
    """Write a frame with a name and a number. A letter is twice as high as it is wide."""
    left, right = round(box.x), round(box.x + box.width) - 1
    top, bottom = round(box.y / 2), round((box.y + box.height) / 2) - 1
    if right < left or bottom < top:
        return
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            grid[y][x] = (_frame(x, y, (left, right), (top, bottom)), style)
    name, label, number = texts
    room = right - left - 1
    lines = [name if len(name) <= room else label, number]
    rows = range(top + 1, bottom) if bottom > top + 1 else range(top, top + 1)
    for y, text in zip(rows, lines, strict=False):
        for place, letter in enumerate(text[: max(room, 0)]):
            grid[y][left + 1 + place] = (letter, style)


def _frame(x: int, y: int, across: tuple[int, int], down: tuple[int, int]) -> str:
    (left, right), (top, bottom) = across, down
    if top == bottom:
        return "[" if x == left else "]" if x == right else " "
    if left == right:
        return "│"
    corners = {(left, top): "┌", (right, top): "┐", (left, bottom): "└", (right, bottom): "┘"}
    if (x, y) in corners:
        return corners[x, y]
    if y in (top, bottom):
        return "─"
    return "│" if x in (left, right) else " "
