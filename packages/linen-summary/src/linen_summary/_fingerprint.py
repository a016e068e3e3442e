"""What a call depends on, as one hashable value that is equal for calls that cost the same."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from typing import Any

import jax

from linen_core.module import Module
from linen_summary._recording import Call

__all__ = ["fingerprint"]


def fingerprint(call: Call) -> Any:
    """Return a value that is equal for calls of equal modules with equal inputs, whatever the modules' names.

    What cannot be compared by its value stands for itself: calls that depend on it are equal only if they share it.
    """
    parts = (call.module, call.method, call.args, call.kwargs, call.streams, call.mutable)
    return _of(parts, {})


def _of(value: Any, seen: dict[int, tuple[int, Any]]) -> Any:
    if value is None or isinstance(value, str | bytes | bool | int | float | complex | type):
        return type(value), value
    if id(value) in seen:
        return "again", seen[id(value)][0]
    seen[id(value)] = len(seen), value  # kept, so that no other value gets its identity meanwhile
    parts = _parts(value)
    if parts is None:
        return "itself", id(value)
    return type(value), tuple(_of(part, seen) for part in parts)


def _parts(value: Any) -> tuple[Any, ...] | None:
    """Return what a value is made of, None if that is not known."""
    if isinstance(value, jax.ShapeDtypeStruct):
        return (*value.shape, str(value.dtype), value.weak_type)
    if isinstance(value, Module):
        fields = (field.name for field in dataclasses.fields(value))
        names = [name for name in fields if name not in ("parent", "name")]
        return tuple((name, value.__dict__.get(name, dataclasses.MISSING)) for name in names)
    if isinstance(value, tuple | list):
        return tuple(value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(value, key=repr))
    if isinstance(value, Mapping):
        return tuple(value.items())
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, types.FunctionType):
        return _function_parts(value)
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if dataclasses.is_dataclass(value):
        return tuple(getattr(value, field.name, None) for field in dataclasses.fields(value))
    return None


def _function_parts(function: types.FunctionType) -> tuple[Any, ...]:
    """Two functions made by one `def` differ in what they close over and in their defaults."""
    cells = tuple(_content(cell) for cell in function.__closure__ or ())
    defaults = (function.__defaults__, function.__kwdefaults__)
    return id(function.__code__), id(function.__globals__), cells, defaults, function.__dict__


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty: the function refers to itself before it has a value
        return None
