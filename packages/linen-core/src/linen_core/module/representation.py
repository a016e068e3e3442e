"""How a module is printed."""

from __future__ import annotations

import dataclasses

from linen_core.module.state import ModuleBase

__all__ = ["represent"]

_INDENT = 4


def represent(module: ModuleBase) -> str:
    """Render a module with its fields and, where it is bound, the submodules it has made so far."""
    try:
        fields = dataclasses.fields(module)
    except TypeError:
        return object.__repr__(module)
    lines: list[str] = []
    shown = [field.name for field in fields if field.repr and field.name not in ("parent", "name")]
    if shown:
        lines.append("# attributes")
        lines += [f"{name} = {_represent_value(module.__dict__.get(name))}" for name in shown]
    children = {
        name: child
        for name, child in module._state.children.items()
        if isinstance(child, ModuleBase)
    }
    if children:
        lines.append("# children")
        lines += [f"{name} = {represent(child)}" for name, child in children.items()]
    title = type(module).__name__
    if not lines:
        return f"{title}()"
    body = "\n".join(lines).split("\n")
    return "\n".join([f"{title}(", *(" " * _INDENT + line for line in body), ")"])


def _represent_value(value: object) -> str:
    if callable(value):
        own = value.__dict__ if isinstance(value, ModuleBase) else None
        name = own.get("__name__") if own is not None else getattr(value, "__name__", None)
        if name:
            return str(name)
    return repr(value)
