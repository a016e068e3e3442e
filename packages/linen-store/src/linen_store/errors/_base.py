"""Types and helpers of the errors."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["StrPath", "render_leaf"]

StrPath = str | os.PathLike[str]


def render_leaf(names: Sequence[str]) -> str:
    """Render the address of a leaf in a file as ``name/name/name``."""
    return "/".join(names)
