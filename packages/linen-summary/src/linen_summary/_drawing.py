"""Treemaps and bars as SVG."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from linen_summary._parts import Part, value_text
from linen_summary._squares import Box, divide

__all__ = ["Bar", "as_page", "bars_svg", "tiles", "treemap_svg"]

Bar = tuple[str, int]
"""A name and a number."""

_LETTER = 6.6  # pixels that a letter of 11 pixels takes, at most
_STRIP = 16
_LINE = 22
_HUES = (210, 28, 130, 265, 350, 185, 48, 320, 95, 235)


def tiles(part: Part, box: Box, edge: float, strip: float) -> Iterator[tuple[Part, Box, bool]]:
    """Lay out a part and all in it.

    Args:
      part: the part.
      box: where it goes.
      edge: how far parts stay away from the edge of the one that they are in.
      strip: height of the line with the name of a part that has others in it.

    Yields:
      Parts with their rectangles, outer ones first, and whether a rectangle stands for the part's own share alone.
    """
    inside = sorted((p for p in part.inside if p.total), key=lambda p: p.total, reverse=True)
    if not inside:
        yield part, box, True
        return
    yield part, box, False
    room = box.shrunk(edge, strip if box.height > 3 * strip else 0.0)
    shares = [(p, p.total) for p in inside] + ([(part, part.own)] if part.own else [])
    shares.sort(key=lambda share: share[1], reverse=True)
    places = divide(room, [total for _, total in shares])
    for (inner, _), place in zip(shares, places, strict=True):
        if inner is part:
            yield part, place, True
        else:
            yield from tiles(inner, place, edge, strip)


def treemap_svg(root: Part, by: str, title: str, width: int, height: int) -> str:
    """Draw a treemap."""
    drawn = []
    hues = {part.path: _HUES[n % len(_HUES)] for n, part in enumerate(root.inside)}
    for part, box, is_own in tiles(root, Box(0, 0, width, height), 2, _STRIP):
        hue = hues.get(part.path[:1], 0)
        colour = f"hsl({hue}, {45 if part.path else 0}%, {max(62, 94 - 8 * len(part.path))}%)"
        number = part.own if is_own and part.inside else part.total
        text = f"{part.name}: {value_text(number, by)} ({_percent(number, root.total)})"
        drawn.append(_rectangle(box, colour, text))
        lines = [part.label, value_text(number, by)] if is_own else [_header(part, by)]
        drawn += _label(box, lines)
    return _svg(title, width, height, drawn)


def _header(part: Part, by: str) -> str:
    return f"{part.label}  {value_text(part.total, by)}"


def bars_svg(bars: Sequence[Bar], whole: int, by: str, title: str, width: int) -> str:
    """Draw horizontal bars."""
    names = max((len(name) for name, _ in bars), default=0)
    left = min(int(names * _LETTER) + 12, width // 2)
    largest = max((number for _, number in bars), default=0) or 1
    drawn = []
    for place, (name, number) in enumerate(bars):
        y = place * _LINE + 4
        length = max(0, width - left - 130) * number / largest
        text = f"{value_text(number, by)} ({_percent(number, whole)})"
        cut = _fitting(name, left - 12)
        drawn.append(f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{_escaped(cut)}</text>')
        drawn.append(
            _rectangle(Box(left, y, length, _LINE - 6), "hsl(210, 45%, 70%)", f"{name}: {text}")
        )
        drawn.append(f'<text x="{left + length + 6:.1f}" y="{y + 12}">{_escaped(text)}</text>')
    return _svg(title, width, len(bars) * _LINE + 4, drawn)


def _percent(number: int, whole: int) -> str:
    return f"{100 * number / whole:.1f}%" if whole else "0%"


def _rectangle(box: Box, colour: str, text: str) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'fill="{colour}" stroke="#ffffff"><title>{_escaped(text)}</title></rect>'
    )


def _label(box: Box, lines: Sequence[str]) -> Iterator[str]:
    """Write lines into a rectangle, as far as there is room."""
    for number, line in enumerate(lines):
        text = _fitting(line, box.width - 8)
        if text and box.height >= _STRIP * (number + 1):
            y = box.y + 12 + 14 * number
            yield f'<text x="{box.x + 4:.1f}" y="{y:.1f}">{_escaped(text)}</text>'


def _fitting(text: str, width: float) -> str:
    letters = int(width / _LETTER)
    if letters >= len(text):
        return text
    return text[: letters - 1] + "…" if letters > 3 else ""


def _svg(title: str, width: int, height: int, drawn: Sequence[str]) -> str:
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 24}" '
        f'width="{width}" height="{height + 24}" role="img" '
        'font-family="Helvetica, Arial, DejaVu Sans, DejaVu Sans Mono, sans-serif" font-size="11" fill="#24292f">\n'
        f"<title>{_escaped(title)}</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="4" y="16" font-size="13" font-weight="bold">{_escaped(title)}</text>\n'
        f'<g transform="translate(0, 24)">\n{body}\n</g>\n</svg>\n'
    )


def _escaped(text: str) -> str:
    return html.escape(text)


_SAVE = """\
document.querySelector("button").onclick = () => {
  const svg = document.querySelector("svg");
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = 2 * svg.viewBox.baseVal.width;
    canvas.height = 2 * svg.viewBox.baseVal.height;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    const link = document.createElement("a");
    link.download = document.title + ".png";
    link.href = canvas.toDataURL("image/png");
    link.click();
  };
  const text = new XMLSerializer().serializeToString(svg);
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
};
"""


def as_page(svg: str, title: str) -> str:
    """Put a picture into an HTML page that saves it as PNG on a click."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{_escaped(title)}</title></head>\n'
        f"<body>\n{svg}<p><button>Save as PNG</button></p>\n<script>\n{_SAVE}</script>\n</body>\n</html>\n"
    )
