"""Treemaps and bars as SVG and HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from linen_summary.charts.parts import Part, value_text
from linen_summary.charts.rectangles import Box, tiles

__all__ = ["Bar", "bars_svg", "html_page", "treemap_svg"]

Bar = tuple[str, int]
"""A name and a number."""

_LETTER = 6.6  # the largest width of a letter of 11 pixels
_STRIP = 16
_LINE = 22
_HUES = (210, 28, 130, 265, 350, 185, 48, 320, 95, 235)


def treemap_svg(root: Part, by: str, title: str, width: int, height: int) -> str:
    """Return a treemap as SVG."""
    elements = []
    hues = {part.path: _HUES[n % len(_HUES)] for n, part in enumerate(root.inside)}
    for part, box, is_own in tiles(root, Box(0, 0, width, height), 2, _STRIP):
        hue = hues.get(part.path[:1], 0)
        colour = f"hsl({hue}, {45 if part.path else 0}%, {max(62, 94 - 8 * len(part.path))}%)"
        number = part.own if is_own and part.inside else part.total
        text = f"{part.name}: {value_text(number, by)} ({_percent(number, root.total)})"
        elements.append(_rectangle(box, colour, text))
        lines = [part.label, value_text(number, by)]
        elements += _label(box, lines if is_own else ["  ".join(lines)])
    return _svg(title, width, height, elements)


def bars_svg(bars: Sequence[Bar], whole: int, by: str, title: str, width: int) -> str:
    """Return horizontal bars as SVG."""
    names = max((len(name) for name, _ in bars), default=0)
    left = min(int(names * _LETTER) + 12, width // 2)
    largest = max((number for _, number in bars), default=0) or 1
    elements = []
    for place, (name, number) in enumerate(bars):
        y = place * _LINE + 4
        length = max(0, width - left - 130) * number / largest
        text = f"{value_text(number, by)} ({_percent(number, whole)})"
        cut = _shortened(name, left - 12)
        elements.append(
            f'<text x="{left - 6}" y="{y + 12}" text-anchor="end">{html.escape(cut)}</text>'
        )
        elements.append(
            _rectangle(Box(left, y, length, _LINE - 6), "hsl(210, 45%, 70%)", f"{name}: {text}")
        )
        elements.append(
            f'<text x="{left + length + 6:.1f}" y="{y + 12}">{html.escape(text)}</text>'
        )
    return _svg(title, width, len(bars) * _LINE + 4, elements)


def _percent(number: int, whole: int) -> str:
    return f"{100 * number / whole:.1f}%" if whole else "0%"


def _rectangle(box: Box, colour: str, text: str) -> str:
    return (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" '
        f'fill="{colour}" stroke="#ffffff"><title>{html.escape(text)}</title></rect>'
    )


def _label(box: Box, lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of text for which a rectangle has room."""
    for number, line in enumerate(lines):
        text = _shortened(line, box.width - 8)
        if text and box.height >= _STRIP * (number + 1):
            y = box.y + 12 + 14 * number
            yield f'<text x="{box.x + 4:.1f}" y="{y:.1f}">{html.escape(text)}</text>'


def _shortened(text: str, width: float) -> str:
    letters = int(width / _LETTER)
    if letters >= len(text):
        return text
    return text[: letters - 1] + "…" if letters > 3 else ""


def _svg(title: str, width: int, height: int, elements: Sequence[str]) -> str:
    body = "\n".join(elements)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 24}" '
        f'width="{width}" height="{height + 24}" role="img" '
        'font-family="Helvetica, Arial, DejaVu Sans, DejaVu Sans Mono, sans-serif" font-size="11" fill="#24292f">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="4" y="16" font-size="13" font-weight="bold">{html.escape(title)}</text>\n'
        f'<g transform="translate(0, 24)">\n{body}\n</g>\n</svg>\n'
    )


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


def html_page(svg: str, title: str) -> str:
    """Return an HTML page with a picture and a button that saves it as PNG."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title></head>\n'
        f"<body>\n{svg}<p><button>Save as PNG</button></p>\n<script>\n{_SAVE}</script>\n</body>\n</html>\n"
    )
