"""The store protocol: the methods that a variable store must have, and those derived from them.

A store holds values at ``(collection, path)``, for example ``("params", ("encoder", "Dense_0", "kernel"))``.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, Self

from linen_core.errors import StorePathError, StoreReadOnlyError, StoreTracedError
from linen_core.filters import CollectionFilter, in_filter
from linen_core.typing import Path, PyTree

__all__ = ["NO_VALUES", "StoreCapabilities", "VariableStore", "read_tree"]

NO_VALUES: Mapping[Any, Any] = MappingProxyType({})
"""Default of arguments with values that have been read before."""


@dataclasses.dataclass(frozen=True)
class StoreCapabilities:
    """The capabilities of a store. They alone decide which tests of the conformance suite apply.

    Example:
      >>> StoreCapabilities(writable=True, lazy=False, thread_safe=True).lazy
      False
    """

    writable: bool = False
    """`put` and `delete` work."""

    lazy: bool = False
    """A read may do I/O; everything but `read` is answered from metadata."""

    thread_safe: bool = True
    """Several threads may read (and, if writable, write) at the same time."""


class VariableStore(abc.ABC):
    """Holds variables by collection and path, and reads several of them in one call.

    A subclass defines `capabilities`, `collections`, `children`, `spec` and `read`; a writable one also `put`
    and `delete`. A path is a tuple of names; a *leaf* is a stored value, every other path that exists is a
    *node*. A collection is a node, with the path ``()``. Nodes may be empty, and are kept. Prove a new store
    by subclassing `linen_core.testing.StoreTests`.

    Example:
      >>> import linen_core as nn, numpy as np
      >>> store = nn.as_store({"params": {"dense": {"bias": np.zeros(3, np.float32)}}})
      >>> store.children("params", ("dense",))
      ('bias',)
      >>> store.spec("params", ("dense", "bias"))
      ShapeDtypeStruct(shape=(3,), dtype=float32)
    """

    @property
    def __jax_array__(self) -> Any:
        """JAX looks for this where a store is passed to one of its transforms in place of arrays.

        Raises:
          StoreTracedError: always.
        """
        raise StoreTracedError(type(self).__name__)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        """Numpy looks for this, and with it `jax.vmap` of JAX 0.7.1.

        Raises:
          StoreTracedError: always.
        """
        raise StoreTracedError(type(self).__name__)

    @property
    @abc.abstractmethod
    def capabilities(self) -> StoreCapabilities:
        """The capabilities of the store."""

    @abc.abstractmethod
    def collections(self) -> tuple[str, ...]:
        """Names of the collections, in the order they were stored."""

    @abc.abstractmethod
    def children(self, collection: str, path: Path = ()) -> tuple[str, ...]:
        """Names directly below a node, in the order they were stored; empty for a leaf and an empty node.

        Raises:
          StorePathError: nothing is stored at ``path``, or the collection does not exist.
        """

    @abc.abstractmethod
    def spec(self, collection: str, path: Path = ()) -> Any:
        """Describe the content of a path without reading a value.

        Returns:
          For a leaf that is one array its `jax.ShapeDtypeStruct` (with sharding where known); for a leaf that
          is a pytree of arrays the same pytree of them; for a node a nested dict of its children's specs.

        Raises:
          StorePathError: nothing is stored at ``path``.
        """

    @abc.abstractmethod
    def read(self, collection: str, paths: Sequence[Path]) -> list[Any]:
        """Read the values of several leaves in one batch, in the order of ``paths``.

        Raises:
          StorePathError: one of the paths is not a leaf; then nothing is read.
        """

    def get(self, collection: str, path: Path) -> Any:
        """Read one leaf.

        Raises:
          StorePathError: ``path`` is not a leaf.
        """
        return self.read(collection, [path])[0]

    def contains(self, collection: str, path: Path = ()) -> bool:
        """Return whether a leaf or a node lies at ``path``, without reading a value."""
        if not path:
            return collection in self.collections()
        try:
            return path[-1] in self.children(collection, path[:-1])
        except StorePathError:
            return False

    def is_leaf(self, collection: str, path: Path) -> bool:
        """Return whether a stored value, not a node, lies at ``path``, without reading it."""
        if not self.contains(collection, path) or self.children(collection, path):
            return False
        return not isinstance(self.spec(collection, path), dict)

    def leaves(self, collection: str, path: Path = ()) -> tuple[Path, ...]:
        """Paths of all the leaves at or below a node, depth first, in stored order.

        Raises:
          StorePathError: nothing is stored at ``path``.
        """
        return tuple(_leaf_paths(self.spec(collection, path), path))

    def snapshot(self, filter: CollectionFilter = True) -> dict[str, Any]:  # noqa: A002 - the protocol's name
        """Copy the chosen collections into a plain nested dict, each collection in one batched read.

        Empty nodes are kept. The dicts are new; the values are the stored ones.
        """
        return {
            name: read_tree(self, name) for name in self.collections() if in_filter(filter, name)
        }

    def put(self, collection: str, path: Path, value: PyTree) -> None:
        """Store one leaf, and make the nodes above it that are missing.

        The order of names is part of what a store keeps:

        - A leaf that is replaced keeps its place among its siblings. Its shape and dtype may change;
          `spec` of the leaf, and of every node above it, says so at once.
        - A new name comes last among its siblings. So do the nodes that are made, and the collection.
        - A leaf put where a node is takes the node's place; what was below the node is gone.

        Nothing lies below a leaf: a path through one is refused, and the store stays as it was. Where
        `capabilities` say ``thread_safe``, threads that put different leaves below one node, which may be
        missing before, all find theirs there afterwards.

        Args:
          collection: name of the collection; it is made if it is missing.
          path: the names that lead to the leaf, at least one.
          value: an array, or a pytree of arrays other than a mapping, which would be a node.

        Raises:
          StoreReadOnlyError: the store is not writable (the default), whatever the path.
          StorePathError: ``path`` is empty (a collection is a node, no leaf), or leads through a leaf. Its
            ``path`` is that leaf's, or the one that was asked for.

        Example:
          >>> import linen_core as nn
          >>> store = nn.MemoryStore({"params": {"kernel": 1.0, "bias": 2.0}})
          >>> store.put("params", ("kernel",), 3.0)
          >>> store.put("params", ("inner", "scale"), 4.0)
          >>> store.snapshot()
          {'params': {'kernel': 3.0, 'bias': 2.0, 'inner': {'scale': 4.0}}}
        """
        raise StoreReadOnlyError(type(self).__name__, collection, path)

    def delete(self, collection: str, path: Path) -> None:
        """Remove a leaf, a node with all below it, or with the path ``()`` a whole collection.

        The node above stays, even if it is empty then, and so does the order of the other names. A name
        that is put again later comes last: it leaves no trace of its place.

        Raises:
          StoreReadOnlyError: the store is not writable (the default), whatever the path.
          StorePathError: nothing is stored at ``path``; then nothing is removed.

        Example:
          >>> import linen_core as nn
          >>> store = nn.MemoryStore({"params": {"inner": {"scale": 4.0}}, "cache": {}})
          >>> store.delete("params", ("inner", "scale"))
          >>> store.delete("cache", ())
          >>> store.snapshot()
          {'params': {'inner': {}}}
        """
        raise StoreReadOnlyError(type(self).__name__, collection, path)

    def close(self) -> None:  # noqa: B027 - most stores hold no resource
        """Release files and memory. Closing twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_tree(
    store: VariableStore,
    collection: str,
    path: Path = (),
    values: Mapping[Path, Any] = NO_VALUES,
) -> Any:
    """Read everything at a path in one batch, into new nested dicts.

    Args:
      store: the store.
      collection: the collection.
      path: a path in the collection.
      values: values that have been read before, by path. They are not read again.

    Raises:
      StorePathError: nothing is stored at ``path``.
    """
    tree = store.spec(collection, path)
    leaves = list(_leaf_paths(tree, path))
    unread = [leaf for leaf in leaves if leaf not in values]
    if unread:
        values = {**values, **dict(zip(unread, store.read(collection, unread), strict=True))}
    return _fill(tree, iter([values[leaf] for leaf in leaves]))


def _leaf_paths(tree: PyTree, path: Path) -> Iterator[Path]:
    if not isinstance(tree, dict):
        yield path
        return
    for name, child in tree.items():
        yield from _leaf_paths(child, (*path, name))


def _fill(tree: PyTree, values: Iterator[Any]) -> Any:
    if not isinstance(tree, dict):
        return next(values)
    return {name: _fill(child, values) for name, child in tree.items()}
