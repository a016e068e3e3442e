"""Names of the sister packages linen-store and linen-summary, which need not be installed."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["import_optional"]


def import_optional(package: str, name: str | None) -> Any:
    """Import a sister package and return one of its names.

    Args:
      package: import name, ``linen_store`` or ``linen_summary``.
      name: the name in it; None for the package itself.

    Raises:
      ImportError: the package is not installed.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        distribution = package.replace("_", "-")
        msg = f"`{name or package}` is part of {distribution}, which is not installed. Run: pip install {distribution}"
        raise ImportError(msg, name=package) from error
    return module if name is None else getattr(module, name)
