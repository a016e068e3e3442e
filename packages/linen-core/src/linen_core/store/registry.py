"""Stores by name: those that packages register under the entry-point group `linen.stores`."""

from __future__ import annotations

import importlib.metadata

from linen_core.errors import InvalidStoreError, UnknownStoreError
from linen_core.store.base import VariableStore
from linen_core.store.memory import MemoryStore

__all__ = ["GROUP", "registered_stores", "store_class"]

GROUP = "linen.stores"
"""The entry-point group that a package registers its stores under."""

_OWN: dict[str, type[VariableStore]] = {"memory": MemoryStore}
_DISTRIBUTIONS = dict.fromkeys(
    ("checkpoint", "frozen", "msgpack", "npz", "safetensors"), "linen-store"
)


def registered_stores() -> tuple[str, ...]:
    """Name the stores that can be had, without importing any of them.

    Example:
      >>> "memory" in registered_stores()
      True
    """
    return tuple(sorted({*_OWN, *importlib.metadata.entry_points(group=GROUP).names}))


def store_class(name: str) -> type[VariableStore]:
    """Find a store's class by the name it is registered under, and import it.

    A package registers its store in its project file, under
    ``[project.entry-points."linen.stores"]``, with a line like ``zip =
    "my_package.stores:ZipStore"``.

    Raises:
      UnknownStoreError: nothing is registered under the name.
      InvalidStoreError: what is registered is no `VariableStore`.
      ImportError: the package that registers the name cannot be imported.

    Example:
      >>> store_class("memory")({"params": {}}).collections()
      ('params',)
    """
    if name in _OWN:
        return _OWN[name]
    entries = importlib.metadata.entry_points(group=GROUP)
    if name not in entries.names:
        raise UnknownStoreError(name, registered_stores(), _advice(name))
    entry = entries[name]
    found = entry.load()
    if not (isinstance(found, type) and issubclass(found, VariableStore)):
        raise InvalidStoreError(name, entry.value, found)
    return found


def _advice(name: str) -> str:
    if name in _DISTRIBUTIONS:
        return f" Run `pip install {_DISTRIBUTIONS[name]}`, which brings it."
    return f" Install the package that registers it in its entry-point group {GROUP!r}."
