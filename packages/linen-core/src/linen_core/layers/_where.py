"""How errors of layers say which layer they speak of."""

from __future__ import annotations

from linen_core.module import Module

__all__ = ["where"]


def where(module: Module) -> str:
    """Name a layer by its class and its path in the model."""
    name = type(module).__name__
    if module.scope is None:
        return name
    path = "/".join(map(str, module.path))
    return f"{name} at {path}" if path else f"{name} (the outermost module)"
