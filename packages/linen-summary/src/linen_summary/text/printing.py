"""Rich output as plain text and as SVG."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

__all__ = ["print_svg", "print_text"]

_THEME = TerminalTheme((255, 255, 255), (36, 41, 47), [(36, 41, 47)] * 8, [(36, 41, 47)] * 8)
_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {terminal_width} {terminal_height}" role="img">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px; \
line-height: {line_height}px; }}
{styles}
</style>
<defs>
{lines}
</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
<g class="{unique_id}-matrix">
{matrix}
</g>
</svg>
"""


def print_text(renderable: Any, width: int = 80) -> str:
    """Return an object as rich prints it, without colours and without spaces at the ends of lines."""
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(renderable)
    return _without_trailing_spaces(output.getvalue())


def print_svg(renderable: Any, width: int, title: str) -> str:
    """Return an object as rich prints it, as an SVG picture.

    Args:
      renderable: the object.
      width: characters per line.
      title: the title of the picture.
    """
    console = Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor"
    )
    console.print(renderable)
    svg = console.export_svg(
        title=title, theme=_THEME, code_format=_FRAME, unique_id="table", font_aspect_ratio=0.6
    )
    return f"{_without_trailing_spaces(svg)}\n"


def _without_trailing_spaces(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())
