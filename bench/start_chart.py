"""Draws stacked bars of the phases up to the first training step, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["drawn"]

COLOURS = ("#999999", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7")
WIDTH = 900
LEFT = 90
RIGHT = 90
BAR = 14
STEP = 19
HEAD = 26


def drawn(groups: Mapping[str, Mapping[str, Mapping[str, float]]], phases: Sequence[str]) -> str:
    """Return a picture of groups of bars.

    A bar by hand that is longer than all bars of Linen and flax is cut; its number is exact.
    """
    compared = (sum(bars[name].values()) for bars in groups.values() for name in ("Linen", "flax"))
    longest = max(compared)
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts = legend(phases)
    top = 64
    for title, bars in groups.items():
        parts.append(text(10, top, title, "font-weight='bold'"))
        for number, (name, seconds) in enumerate(bars.items()):
            parts += bar(top + 8 + number * STEP, name, seconds, phases, scale)
        top += HEAD + len(bars) * STEP
    size = f"width='{WIDTH}' height='{top}' viewBox='0 0 {WIDTH} {top}'"
    style = "font-family='sans-serif' font-size='12' fill='#222222'"
    back = f"<rect width='{WIDTH}' height='{top}' fill='#ffffff'/>"
    body = "\n".join([back, *parts])
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {style}>\n{body}\n</svg>\n"


def text(x: float, y: float, words: str, style: str = "") -> str:
    """Return a text element."""
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{words}</text>"


def box(x: float, y: float, width: float, colour: str) -> str:
    """Return a rectangle with the height of a bar."""
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{BAR}' fill='{colour}'/>"


def legend(phases: Sequence[str]) -> list[str]:
    """Return the heading and the colours of the phases."""
    heading = "From import to the end of the first training step: seconds of CPU time"
    parts = [text(10, 18, heading, "font-size='14'")]
    for number, (phase, colour) in enumerate(zip(phases, COLOURS, strict=True)):
        x = 10 + 110 * number
        parts += [box(x, 28, BAR, colour), text(x + BAR + 5, 40, phase)]
    return parts


def bar(
    y: float, name: str, seconds: Mapping[str, float], phases: Sequence[str], scale: float
) -> list[str]:
    """Return one bar with its name and its total. A bar ends at the right margin."""
    parts = [text(LEFT - 8, y + 11, name, "text-anchor='end'")]
    x, end = float(LEFT), float(WIDTH - RIGHT)
    for phase, colour in zip(phases, COLOURS, strict=True):
        width = min(seconds.get(phase, 0.0) * scale, end - x)
        parts.append(box(x, y, width, colour))
        x += width
    total = sum(seconds.values())
    cut = " (cut)" if total * scale > WIDTH - LEFT - RIGHT + 1 else ""
    return [*parts, text(x + 6, y + 11, f"{total:.2f}{cut}")]
