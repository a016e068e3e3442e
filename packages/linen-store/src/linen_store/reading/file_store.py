"""The base of stores over files: names and shapes from metadata, values in batches on demand."""

from __future__ import annotations

import abc
import dataclasses
import html
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from linen_core import StoreCapabilities, VariableStore
from linen_core.errors import StoreClosedError, StoreError, StorePathError
from linen_core.filters import CollectionFilter
from linen_store._texts import counted
from linen_store.errors import CheckpointReplacedError, ForkedStoreError
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.reading.buffers import is_canonical
from linen_store.reading.specs import (
    Bounds,
    array_spec,
    cast_spec,
    flatten_names,
    floating_dtype,
    is_array_spec,
    is_key,
    local_regions,
    nbytes,
    render_spec,
)
from linen_store.reading.tree import (
    Leaf,
    Root,
    Tree,
    has_integers,
    leaves_of,
    map_leaves,
    mount,
    original_keys,
    paths_of,
    unbox_nodes,
)

__all__ = ["LazyStore", "ShardingLike", "StoreStats"]

ShardingLike: TypeAlias = (
    jax.sharding.Sharding
    | Callable[[tuple[str, ...], jax.ShapeDtypeStruct], jax.sharding.Sharding | None]
    | None
)
"""One sharding for every array, or a function of a leaf's names in the file and its spec."""

_CACHE_BYTES = 1 << 30
_SHOWN = 100


@dataclasses.dataclass(frozen=True)
class StoreStats:
    """What a store has read so far.

    Example:
      >>> StoreStats(leaves=2, bytes=64)
      StoreStats(leaves=2, bytes=64, hits=0)
    """

    leaves: int = 0
    """Values that were read from the file."""

    bytes: int = 0
    """Their size as it is stored; of arrays that are split, that of the parts that were read."""

    hits: int = 0
    """Values that were given from the cache instead."""


class LazyStore(VariableStore):
    """A read-only store over a file: opening reads metadata only, `read` is one batch of I/O.

    A subclass gives `_load_specs` and `_load_values`; everything else is here: mounting a part of
    the file as the collections, casting, the cache, the statistics, and the errors for a closed or
    forked store.

    Args:
      path: the file or folder, for errors and the repr.
      tree: the leaves of the file.
      watched: files whose replacement makes a read fail, and the identity of each at opening.
      root: which part of the file holds the collections (see `CheckpointStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put.
      unbox: whether a node that holds nothing but an array named ``value`` is that array.
      cache_bytes: how much is kept in memory of what was read, the most recently used first.

    Raises:
      RootNotFoundError: the file has no collections at ``root``.
      StoreDtypeError: ``dtype`` is no floating-point dtype.

    Example:
      >>> import os, tempfile, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/w": np.arange(2)})
      >>> store = linen_store.open_store(path)
      >>> isinstance(store, LazyStore), store.collections()
      (True, ('params',))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        tree: Tree,
        *,
        watched: Mapping[str, Any] | None = None,
        root: Root = None,
        dtype: Any = None,
        sharding: ShardingLike = None,
        unbox: bool = False,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.path = local_path(path)
        self._tree = mount(unbox_nodes(tree) if unbox else tree, root, self.path)
        self._watched = {} if watched is None else watched
        self._has_integers: bool | None = None
        self._parts: dict[Any, tuple[int, int]] = {}
        self._dtype = floating_dtype(dtype)
        self._sharding = sharding
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._cached_bytes = 0
        self._specs: dict[tuple[str, ...], Any] = {}
        self._stats = StoreStats()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False

    _reads_parts = True
    """Whether of an array only the parts are read that devices of this process need."""

    @abc.abstractmethod
    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        """Describe leaves as they are stored, from metadata alone."""

    @abc.abstractmethod
    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        """Read leaves in one batch, each as its spec says (dtype and sharding)."""

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=False, lazy=True, thread_safe=True)

    @property
    def stats(self) -> StoreStats:
        """What was read so far."""
        return self._stats

    def collections(self) -> tuple[str, ...]:
        self._check_open()
        return tuple(self._tree)

    def children(self, collection: str, path: tuple[str, ...] = ()) -> tuple[str, ...]:
        node = self._find(collection, path)
        return tuple(node) if isinstance(node, dict) else ()

    def spec(self, collection: str, path: tuple[str, ...] = ()) -> Any:
        node = self._find(collection, path)
        leaves = list(leaves_of(node))
        placed = self._placed_specs(leaves, self._dtype, self._sharding)
        specs = dict(zip((leaf.names for leaf in leaves), placed, strict=True))
        return map_leaves(lambda leaf: specs[leaf.names], node)

    def read(self, collection: str, paths: Sequence[tuple[str, ...]]) -> list[Any]:
        return self.read_placed(collection, paths, dtype=self._dtype, sharding=self._sharding)

    def read_placed(
        self,
        collection: str,
        paths: Sequence[tuple[str, ...]],
        *,
        dtype: Any = None,
        sharding: ShardingLike = None,
    ) -> list[Any]:
        """Read several leaves in one batch, into another dtype or sharding than the store's own.

        Raises:
          StorePathError: one of the paths is not a leaf; then nothing is read.
          StoreDtypeError: ``dtype`` is no floating-point dtype.
        """
        nodes = [self._find(collection, path) for path in paths]
        for path, node in zip(paths, nodes, strict=True):
            if isinstance(node, dict):
                raise StorePathError(collection, path, "a node, not a value, is there")
        leaves = {leaf.names: leaf for node in nodes for leaf in leaves_of(node)}
        values = self._read_leaves(list(leaves.values()), floating_dtype(dtype), sharding)
        return [map_leaves(lambda leaf: values[leaf.names], node) for node in nodes]

    def snapshot(self, filter: CollectionFilter = True) -> dict[str, Any]:  # noqa: A002 - the protocol's word
        # Names are strings here; keys that were integers, where the file tells, are so again.
        found = super().snapshot(filter)
        if self._has_integers is None:
            self._has_integers = has_integers(self._tree)
        if not self._has_integers:
            return found
        return {name: original_keys(self._tree[name], values) for name, values in found.items()}

    def leaves(self, collection: str, path: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
        # Names are known since opening: no shape has to be looked up for them.
        return tuple(paths_of(self._find(collection, path), path))

    def contains(self, collection: str, path: tuple[str, ...] = ()) -> bool:
        try:
            self._find(collection, path)
        except StorePathError:
            return False
        return True

    def is_leaf(self, collection: str, path: tuple[str, ...]) -> bool:
        return self.contains(collection, path) and not isinstance(
            self._find(collection, path), dict
        )

    def inner_names(
        self, collection: str, path: tuple[str, ...]
    ) -> dict[tuple[str, ...], tuple[str, ...]]:
        """Return, for the names in the file of each leaf of a value, its names inside the value.

        Raises:
          StorePathError: nothing is stored at ``path``.
        """
        value = map_leaves(lambda leaf: leaf, self._find(collection, path))
        names, leaves, _ = flatten_names(value)
        return {leaf.names: inner for leaf, inner in zip(leaves, names, strict=True)}

    def close(self) -> None:
        """Let go of the cache. Closing twice is fine; to read afterwards is an error."""
        with self._lock:
            self._closed = True
            self._cache.clear()
            self._cached_bytes = 0

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(type(self).__name__)
        if os.getpid() != self._process:
            raise ForkedStoreError(self._process, os.getpid())

    def _find(self, collection: str, path: tuple[str, ...]) -> Tree:
        self._check_open()
        if collection not in self._tree:
            raise StorePathError(collection, path, "there is no such collection")
        node = self._tree[collection]
        for name in path:
            if not isinstance(node, dict) or name not in node:
                raise StorePathError(collection, path)
            node = node[name]
        return node

    def _stored_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        with self._lock:
            missing = [leaf for leaf in leaves if leaf.names not in self._specs]
            if missing:
                self._check_open()  # another thread may have closed the store meanwhile
                loaded = self._load_specs(missing)
                self._specs.update(
                    (leaf.names, spec) for leaf, spec in zip(missing, loaded, strict=True)
                )
            return [self._specs[leaf.names] for leaf in leaves]

    def _placed_specs(
        self, leaves: Sequence[Leaf], dtype: Any, sharding: ShardingLike
    ) -> list[Any]:
        return [
            _placed(leaf, stored, dtype, sharding)
            for leaf, stored in zip(leaves, self._stored_specs(leaves), strict=True)
        ]

    def _read_leaves(
        self, leaves: Sequence[Leaf], dtype: Any, sharding: ShardingLike
    ) -> dict[tuple[str, ...], Any]:
        # The lock is held while reading, so that two threads that want the same leaf read it once.
        with self._lock:
            self._check_open()
            # The cache would hold values of another checkpoint.
            self._check_same()
            specs = self._placed_specs(leaves, dtype, sharding)
            keys = [
                (leaf.names, getattr(spec, "dtype", None), getattr(spec, "sharding", None))
                for leaf, spec in zip(leaves, specs, strict=True)
            ]
            missing = [index for index, key in enumerate(keys) if not self._is_kept(key)]
            found = self._load([leaves[i] for i in missing], [specs[i] for i in missing])
            loaded = dict(zip(missing, found, strict=True))
            values = {
                leaf.names: loaded[index] if index in loaded else self._recall(keys[index])
                for index, leaf in enumerate(leaves)
            }
            for index, value in loaded.items():
                self._keep(keys[index], value)
            self._stats = StoreStats(
                leaves=self._stats.leaves + len(missing),
                bytes=self._stats.bytes
                + sum(self._bytes_read(leaves[i], specs[i]) for i in missing),
                hits=self._stats.hits + len(leaves) - len(missing),
            )
            return values

    def _load(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        if not leaves:
            return []
        try:
            values = self._load_values(leaves, specs)
        except StoreError:
            # Another checkpoint may have taken the place of this one meanwhile.
            self._check_same()
            raise
        self._check_same()
        return values

    def _check_same(self) -> None:
        for file, identity in self._watched.items():
            if file_identity(file) != identity:
                raise CheckpointReplacedError(self.path)

    def _bytes_read(self, leaf: Leaf, spec: Any) -> int:
        stored = self._specs[leaf.names]
        if leaf.kind not in ("array", "numpy") or not is_array_spec(stored):
            return 0
        sharding = getattr(spec, "sharding", None)
        if not self._reads_parts or sharding is None or is_key(stored):
            return nbytes(stored)
        return int(self._local_elements(stored.shape, sharding)[0] * stored.dtype.itemsize)

    def _local_elements(self, shape: tuple[int, ...], sharding: Any) -> tuple[int, int]:
        """Count the elements of an array that this process reads, and those that its devices hold."""
        if (shape, sharding) not in self._parts:
            read = sum(map(_elements, local_regions(shape, sharding)))
            held = math.prod(sharding.shard_shape(shape)) * len(sharding.addressable_devices)
            self._parts[shape, sharding] = read, held
        return self._parts[shape, sharding]

    def _size(self, value: Any) -> int:
        """Compute the memory that a value takes in this process."""
        if isinstance(value, np.ndarray):
            return value.nbytes
        if not isinstance(value, jax.Array):
            return 0
        # Arrays of JAX know their `nbytes` too, after a detour that this saves.
        elements = math.prod(value.shape)
        if elements and not isinstance(value.sharding, jax.sharding.SingleDeviceSharding):
            elements = self._local_elements(value.shape, value.sharding)[1]
        return elements * int(value.dtype.itemsize)

    def _is_kept(self, key: Any) -> bool:
        if key not in self._cache:
            return False
        value, size = self._cache[key]
        if isinstance(value, jax.Array) and value.is_deleted():
            # It was donated to a compiled function since it was read.
            del self._cache[key]
            self._cached_bytes -= size
            return False
        return True

    def _recall(self, key: Any) -> Any:
        self._cache.move_to_end(key)
        return self._cache[key][0]

    def _keep(self, key: Any, value: Any) -> None:
        if isinstance(value, jax.core.Tracer):
            return  # it belongs to the transformation that it was read in
        size = self._size(value)
        if size > self._cache_bytes:
            return
        self._cache[key] = value, size
        self._cached_bytes += size
        while self._cached_bytes > self._cache_bytes:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._cached_bytes -= dropped

    def _count(self) -> int:
        return sum(1 for _ in self._all_leaves())

    def _all_leaves(self) -> Iterator[Leaf]:
        yield from leaves_of(self._tree)

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._closed
            else f"{counted(self._count(), 'leaf', 'leaves')}, {self._stats.leaves} read"
        )
        return f"{type(self).__name__}({self.path!r}, collections={list(self._tree)}, {state})"

    def __rich__(self) -> str:
        """Show the leaves, for the console of rich."""
        # Markup would take brackets for its own.
        return "\n".join([repr(self), *self._lines("{}  {}")]).replace("[", "\\[")

    def _repr_html_(self) -> str:
        """Show the leaves, for notebooks."""
        rows = "".join(self._lines("<tr><td>{}</td><td>{}</td></tr>", html.escape))
        return f"<p>{html.escape(repr(self))}</p><table>{rows}</table>"

    def _lines(self, row: str, clean: Callable[[str], str] = str) -> list[str]:
        leaves = [] if self._closed else list(self._all_leaves())
        shown = leaves[:_SHOWN]
        lines = [
            row.format(clean("/".join(leaf.names)), clean(render_spec(spec)))
            for leaf, spec in zip(shown, self._stored_specs(shown), strict=True)
        ]
        more = len(leaves) - len(shown)
        return [*lines, row.format(f"... and {more:,} more", "")] if more else lines


def _placed(leaf: Leaf, stored: Any, dtype: Any, sharding: ShardingLike) -> Any:
    """Apply the dtype and the sharding that were asked for to a stored spec."""
    if dtype is None and sharding is None:
        return stored
    if not isinstance(stored, jax.ShapeDtypeStruct) or leaf.kind not in ("array", "numpy"):
        return stored
    spec = cast_spec(stored, dtype)
    if sharding is None or not is_canonical(spec.dtype):
        return spec
    where = sharding(leaf.names, spec) if callable(sharding) else sharding
    return array_spec(spec.shape, spec.dtype, where)


def _elements(bounds: Bounds) -> int:
    return math.prod(stop - start for start, stop in bounds)
