"""What the behaviour of a module depends on, as one hashable value that is compared by equality."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from linen_core.filters import DenyList
from linen_core.module.base import Module

__all__ = ["fingerprint"]

_STATE = ("in_compact_method", "in_setup", "setup_called", "is_initialized", "autoname_cursor")
_SCOPE = ("mutable", "flags", "rng_counters", "reservations")


def fingerprint(value: Any, path: tuple[str, ...], seen: dict[int, int] | None = None) -> Any:
    """Return a hashable stand-in for a value that is equal for values that behave alike.

    For a module these are its class, its fields but for name and parent, and what it has named and counted so far.

    Args:
      value: a module, a container, an array of numpy, or anything hashable.
      path: where the value lies, for the error.
      seen: numbers of the modules met so far, by id.

    Raises:
      ValueError: something in the value is unhashable.
    """
    seen = {} if seen is None else seen

    def part(name: Any, item: Any) -> tuple[Any, Any]:
        return name, fingerprint(item, (*path, str(name)), seen)

    if isinstance(value, str):
        return value
    if isinstance(value, Module):
        return _module_fingerprint(value, path, seen)
    if isinstance(value, DenyList):
        return DenyList, part("deny", value.deny)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return type(value), *(part(name, getattr(value, name, None)) for name in names)
    if isinstance(value, Mapping):
        return tuple((fingerprint(key, path, seen), part(key, item)) for key, item in value.items())
    if isinstance(value, set | frozenset):
        return frozenset(fingerprint(item, path, seen) for item in value)
    if isinstance(value, Iterable) and not hasattr(value, "dtype"):
        return tuple(part(number, item) for number, item in enumerate(value))
    if _is_array(value):
        return type(value), value.dtype, value.shape, value.tobytes()
    for kind in (int, float, complex):
        if isinstance(value, kind):  # 1, 1.0 and True are equal, and so are 0.0 and -0.0
            return type(value), kind.__repr__(value)
    try:
        hash(value)
    except TypeError as error:
        msg = (
            f"The value at {'/'.join(path)!r} is unhashable ({error}), so that nn.jit cannot tell whether it has "
            "changed. Use hashable values in the fields of a jitted module."
        )
        raise ValueError(msg) from error
    return value


def _is_array(value: Any) -> bool:
    """Tell whether something is a number or an array of numpy, whose bytes say all of its values."""
    return (
        isinstance(value, np.generic) or type(value) is np.ndarray
    ) and not value.dtype.hasobject


def _module_fingerprint(module: Module, path: tuple[str, ...], seen: dict[int, int]) -> Any:
    kind = type(module)
    if id(module) in seen:
        return kind, seen[id(module)]
    seen[id(module)] = len(seen)
    facts: list[Any] = [kind]
    names = [field.name for field in dataclasses.fields(kind)]
    facts += (
        (name, fingerprint(getattr(module, name), (*path, name), seen))
        for name in names
        if name not in ("parent", "name") and hasattr(module, name)
    )
    owners: list[tuple[Any, tuple[str, ...]]] = [(module._state, _STATE)]
    if module.scope is not None:
        owners.append((module.scope, _SCOPE))
    for owner, parts in owners:
        facts += (fingerprint(getattr(owner, name), (*path, name), seen) for name in parts)
    return tuple(facts)
