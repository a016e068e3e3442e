"""What rich prints, as a picture."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

__all__ = ["picture"]

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


def picture(renderable: Any, width: int, title: str) -> str:
    """Draw what rich makes of an object as SVG.

    Args:
      renderable: the object.
      width: how many characters are on a line.
      title: what the picture is called.
    """
    console = Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor"
    )
    console.print(renderable)
    made = console.export_svg(
        title=title, theme=_THEME, code_format=_FRAME, unique_id="table", font_aspect_ratio=0.6
    )
    return "\n".join(line.rstrip() for line in made.splitlines()) + "\n"
