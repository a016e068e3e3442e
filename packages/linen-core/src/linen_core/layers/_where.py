"""The name of a layer in error messages."""

from __future__ import annotations

from linen_core.module import Module

__all__ = ["where"]


def where(module: Module) -> str:
    """Return class and path of a layer."""
    name = type(module).__name__
    if module.scope is None:
        return name
    path = "/".join(map(str, module.path))
    return f"{name} at {path}" if path else f"{name} (the outermost module)"
