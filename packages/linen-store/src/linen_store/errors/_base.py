"""The type of a path in an error."""

from __future__ import annotations

import os

__all__ = ["StrPath"]

StrPath = str | os.PathLike[str]
