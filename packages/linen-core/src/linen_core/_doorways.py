"""The way from core to its sister packages, which it does not depend on."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["resolve_sister"]


def resolve_sister(package: str, name: str) -> Any:
    """Import a sister package and return one of its names.

    Args:
      package: import name, ``linen_store`` or ``linen_summary``.
      name: the name in it.

    Raises:
      ImportError: the package is not installed.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        distribution = package.replace("_", "-")
        msg = f"`{name}` is part of {distribution}, which is not installed. Run: pip install {distribution}"
        raise ImportError(msg, name=package) from error
    return getattr(module, name)
