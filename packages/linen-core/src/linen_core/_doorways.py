"""Names of `linen_core` that are found when they are first used: those of layers, and those of sister packages."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ["resolve_sister"]

if TYPE_CHECKING:  # what a type checker sees in their place, whether the sister is installed or not
    FrozenDict: TypeAlias = Any
    summary: Any
    tabulate: Any

_HOMES = {
    "FrozenDict": "linen_store",
    "tabulate": "linen_summary",
}


def __getattr__(name: str) -> Any:
    """Return a name of a layer or of a sister package as if it were one of `linen_core`.

    Raises:
      AttributeError: no package has it.
      ImportError: the package that has it is not installed.
    """
    layers = importlib.import_module("linen_core.layers._lazy")
    if name in layers.HOMES or name in layers.FILES:
        value = getattr(sys.modules["linen_core.layers"], name)
        setattr(sys.modules["linen_core"], name, value)  # found at once from now on
        return value
    if name in _HOMES:
        return resolve_sister(_HOMES[name], name)
    if name == "summary":
        return resolve_sister("linen_summary", None)
    msg = f"module 'linen_core' has no attribute {name!r}"
    raise AttributeError(msg, name=name)


def __dir__() -> list[str]:
    """List what `linen_core` has, found yet or not."""
    package = sys.modules["linen_core"]
    return sorted({*vars(package), *package.__all__})


def resolve_sister(package: str, name: str | None) -> Any:
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
