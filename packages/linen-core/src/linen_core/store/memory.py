"""The default store: collections in memory, in any mapping."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core.errors import StorePathError, StoreReadOnlyError
from linen_core.store.base import StoreCapabilities, VariableStore
from linen_core.typing import Path, PyTree

__all__ = ["MemoryStore", "value_spec"]


class MemoryStore(VariableStore):
    """A store over a nested mapping of variables.

    The mapping is not copied: `read` returns the objects in it, and `put` and `delete` modify it. The store is
    writable if the mapping is mutable.

    Attributes:
      variables: the mapping.

    Example:
      >>> store = MemoryStore({"params": {}})
      >>> store.put("params", ("dense", "bias"), np.zeros(3, np.float32))
      >>> store.variables
      {'params': {'dense': {'bias': array([0., 0., 0.], dtype=float32)}}}
    """

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        self.variables: Mapping[str, Any] = {} if variables is None else variables

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=isinstance(self.variables, MutableMapping))

    def collections(self) -> tuple[str, ...]:
        return tuple(self.variables)

    def children(self, collection: str, path: Path = ()) -> tuple[str, ...]:
        node = self._find(collection, path)
        return tuple(node) if isinstance(node, Mapping) else ()

    def spec(self, collection: str, path: Path = ()) -> Any:
        return _spec_tree(self._find(collection, path))

    def read(self, collection: str, paths: Sequence[Path]) -> list[Any]:
        values = [self._find(collection, path) for path in paths]
        for path, value in zip(paths, values, strict=True):
            if isinstance(value, Mapping):
                raise StorePathError(collection, path, "a node, not a value, is there")
        return values

    def put(self, collection: str, path: Path, value: PyTree) -> None:
        if not self.capabilities.writable:
            super().put(collection, path, value)
        if not path:
            raise StorePathError(collection, path, "a value needs a name inside its collection")
        node: Any = self.variables
        for depth, name in enumerate((collection, *path[:-1])):
            node = node.setdefault(name, {})  # atomic: all threads share the new node
            if not isinstance(node, Mapping):
                raise StorePathError(collection, path[:depth], "a value, not a node, is there")
            if not isinstance(node, MutableMapping):
                raise StoreReadOnlyError(type(self).__name__, collection, path)
        node[path[-1]] = value

    def delete(self, collection: str, path: Path) -> None:
        if not self.capabilities.writable:
            super().delete(collection, path)
        self._find(collection, path)
        parent: Any = self._find(collection, path[:-1]) if path else self.variables
        if not isinstance(parent, MutableMapping):
            raise StoreReadOnlyError(type(self).__name__, collection, path)
        del parent[path[-1] if path else collection]

    def _find(self, collection: str, path: Path) -> Any:
        if collection not in self.variables:
            raise StorePathError(collection, path, "the collection does not exist")
        node = self.variables[collection]
        for name in path:
            if not isinstance(node, Mapping) or name not in node:
                raise StorePathError(collection, path)
            node = node[name]
        return node

    def __repr__(self) -> str:
        return f"{type(self).__name__}(collections={list(self.variables)})"


def value_spec(value: PyTree) -> Any:
    """Describe one leaf: a `jax.ShapeDtypeStruct`, or the value's pytree of them.

    Other objects in the pytree, for example strings, are returned unchanged.

    Example:
      >>> value_spec({"w": np.zeros((2, 3), np.float32)})
      {'w': ShapeDtypeStruct(shape=(2, 3), dtype=float32)}
    """
    return jax.tree.map(_array_spec, value)


def _array_spec(value: PyTree) -> Any:
    if isinstance(value, bool | int | float | complex):
        return jax.ShapeDtypeStruct((), np.result_type(value))
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return value
    sharding = getattr(value, "sharding", None)
    if isinstance(value, jax.core.Tracer) or not isinstance(
        value, jax.Array | jax.ShapeDtypeStruct
    ):
        sharding = None
    return jax.ShapeDtypeStruct(value.shape, value.dtype, sharding=sharding)


def _spec_tree(node: PyTree) -> Any:
    if isinstance(node, Mapping):
        return {name: _spec_tree(child) for name, child in node.items()}
    return value_spec(node)
