"""What rich prints, as plain text."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

__all__ = ["print_text"]


def print_text(renderable: Any, width: int = 80) -> str:
    """Return what rich makes of an object, without colours and without spaces at the ends of lines."""
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(renderable)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())
