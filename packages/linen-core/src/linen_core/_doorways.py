"""Names of `linen_core` that are found when they are first used.

Those of layers, transforms and sharding, which most programs use a few of, and those of sister packages.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

__all__ = ["resolve_sister"]

if TYPE_CHECKING:  # what a type checker sees in their place, whether the sister is installed or not
    FrozenDict: TypeAlias = Any
    summary: Any
    tabulate: Any

_PARTS = {
    "spmd": "spmd",
    "transforms": "transforms",
    "partitioning": "spmd.partitioning",
    "train_state": "train_state",
    "traverse_util": "traverse_util",
}
"""Where parts lie that are loaded when they are asked for."""

_SHOWN = ("spmd", "transforms")
"""Parts whose names are also those of `linen_core`."""

_SISTER_OF = {
    "FrozenDict": "linen_store",
    "tabulate": "linen_summary",
}


def __getattr__(name: str) -> Any:
    """Return a name of a part or of a sister package as if it had been in `linen_core` from the start.

    Raises:
      AttributeError: no package has it.
      ImportError: the package that has it is not installed.
    """
    if name in _PARTS:
        value = importlib.import_module(f"linen_core.{_PARTS[name]}")
    elif name in _SISTER_OF:
        return resolve_sister(_SISTER_OF[name], name)
    elif name == "summary":
        return resolve_sister("linen_summary", None)
    else:
        value = _from_its_part(name)
    setattr(sys.modules["linen_core"], name, value)  # found at once from now on
    return value


def _from_its_part(name: str) -> Any:
    layers = importlib.import_module("linen_core.layers._lazy")
    if name in layers.HOMES or name in layers.FILES:
        return getattr(sys.modules["linen_core.layers"], name)
    if name in vars(sys.modules["linen_core"]).get("__all__", ()):
        for part in _SHOWN:
            module = importlib.import_module(f"linen_core.{part}")
            if name in module.__all__:
                return getattr(module, name)
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
