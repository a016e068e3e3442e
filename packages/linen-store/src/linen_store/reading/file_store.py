"""The base classes of stores over files."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import html
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, Unpack, runtime_checkable

import jax
import numpy as np

from linen_core import StoreCapabilities, VariableStore
from linen_core.errors import StoreClosedError, StoreError, StorePathError
from linen_core.filters import CollectionFilter
from linen_store._texts import counted
from linen_store.errors import CheckpointReplacedError, ForkedStoreError
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.reading.buffers import is_canonical
from linen_store.reading.cache import ValueCache
from linen_store.reading.device import ForDevice
from linen_store.reading.options import (
    CACHE_BYTES,
    ReadOptions,
    Root,
    ShardingLike,
    VariableSharding,
)
from linen_store.reading.specs import (
    array_spec,
    cast_spec,
    count_elements,
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
    Tree,
    change_leaves,
    has_integers,
    leaves_of,
    map_leaves,
    mount,
    original_keys,
    paths_of,
    unbox_nodes,
)

__all__ = [
    "FileStore",
    "LazyStore",
    "ReadsPlaced",
    "ShardingLike",
    "StoreStats",
    "VariableSharding",
]

_SHOWN_LEAVES = 100


@dataclasses.dataclass(frozen=True)
class StoreStats:
    """Counts of the values that a store has read so far.

    Example:
      >>> StoreStats(leaves=2, bytes=64)
      StoreStats(leaves=2, bytes=64, hits=0)
    """

    leaves: int = 0
    """Values that were read from the file."""

    bytes: int = 0
    """Their size as it is stored; of arrays that are split, that of the parts that were read."""

    hits: int = 0
    """Values that came from the cache instead."""


@runtime_checkable
class ReadsPlaced(Protocol):
    """A store that puts arrays on their devices while it reads them. `restore` uses this if a store has it."""

    def read_placed(
        self,
        collection: str,
        paths: Sequence[tuple[str, ...]],
        *,
        dtype: Any = None,
        sharding: VariableSharding | None = None,
    ) -> list[Any]:
        """Read several leaves in one batch, like `VariableStore.read`.

        Args:
          collection: the collection.
          paths: the paths of the leaves.
          dtype: a floating-point dtype that every floating-point array is cast to.
          sharding: the sharding of each array, by the names ``(collection, *path)``. For an array inside a value that
            is a pytree, the names that lead to it in the value follow.
        """


class FileStore(VariableStore):
    """A read-only store over a file.

    A subclass implements `_load_specs` and `_load_values`. This class mounts a part of the file as the collections,
    casts, caches, counts, and raises the errors for closed and forked stores.

    Args:
      path: the file or folder, for errors and the repr.
      tree: the leaves of the file.
      watched: files whose replacement makes a read fail, and the identity of each at opening.
      root: the part of the file that holds the collections (see `CheckpointStore`).
      **options: see `ReadOptions`.

    Raises:
      RootNotFoundError: the file has no collections at ``root``.
      StoreDtypeError: ``dtype`` is not a floating-point dtype.

    Example:
      >>> import os, tempfile, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/w": np.arange(2)})
      >>> store = linen_store.open_store(path)
      >>> isinstance(store, FileStore), store.collections()
      (True, ('params',))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        tree: Tree,
        *,
        watched: Mapping[str, Any] | None = None,
        root: Root = None,
        **options: Unpack[ReadOptions],
    ) -> None:
        self.path = local_path(path)
        self._tree = mount(unbox_nodes(tree) if options.get("unbox") else tree, root, self.path)
        self._watched = {} if watched is None else watched
        self._parts: dict[Any, tuple[int, int]] = {}
        self._dtype = floating_dtype(options.get("dtype"))
        self._sharding = options.get("sharding")
        self._cache = ValueCache(options.get("cache_bytes", CACHE_BYTES))
        self._specs: dict[tuple[str, ...], Any] = {}
        self._stats = StoreStats()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._closed = False
        self._named_errors: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._release: Callable[[], object] | None = None

    option_names: ClassVar = frozenset(ReadOptions.__annotations__)
    """The options that `linen_store.open_store` may pass as ``**options``."""

    _reads_parts = False
    """True if a read of a sharded array reads only the parts that devices of this process need."""

    @abc.abstractmethod
    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        """Describe leaves as they are stored, from metadata alone."""

    @abc.abstractmethod
    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        """Read leaves in one batch, each with the dtype and sharding of its spec."""

    def stand_for(
        self,
        address: str,
        named_errors: Callable[[], AbstractContextManager[None]],
        release: Callable[[], object],
    ) -> None:
        """Show an address in place of the path: the files of this store are copies.

        Args:
          address: the address.
          named_errors: returns a context that names the address in the errors of reads.
          release: is called when the store is closed.
        """
        self.path = address
        self._named_errors, self._release = named_errors, release

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=False, lazy=False, thread_safe=True)

    @property
    def stats(self) -> StoreStats:
        """Counts of the values that were read so far."""
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
        return self._read_nodes(self._values_at(collection, paths), self._dtype, self._sharding)

    def read_placed(
        self,
        collection: str,
        paths: Sequence[tuple[str, ...]],
        *,
        dtype: Any = None,
        sharding: VariableSharding | None = None,
    ) -> list[Any]:
        """Read several leaves in one batch, with another dtype or sharding than the store's own.

        Args:
          collection: the collection.
          paths: the paths of the leaves.
          dtype: a floating-point dtype that every floating-point array is cast to; that of the store by default.
          sharding: the sharding of each array, by the collection and names that lead to it.

        Raises:
          StorePathError: one of the paths is not a leaf; then nothing is read.
          StoreDtypeError: ``dtype`` is not a floating-point dtype.
        """
        values = self._values_at(collection, paths)
        dtype = self._dtype if dtype is None else floating_dtype(dtype)
        if sharding is None:
            return self._read_nodes(values, dtype, None)
        variables: dict[tuple[str, ...], tuple[str, ...]] = {}
        for path, value in zip(paths, values, strict=True):
            names, leaves, _ = flatten_names(map_leaves(lambda leaf: leaf, value))
            for inner, leaf in zip(names, leaves, strict=True):
                variables[leaf.names] = (collection, *path, *inner)

        def of_file(in_file: tuple[str, ...], spec: jax.ShapeDtypeStruct) -> Any:
            return sharding(variables[in_file], spec)

        return self._read_nodes(values, dtype, of_file)

    def read_host(
        self, collection: str, paths: Sequence[tuple[str, ...]], dtype: Any = None
    ) -> list[Any]:
        """Like `read`, but an array for the default device stays in host memory, as a `ForDevice`.

        Args:
          collection: the collection.
          paths: the paths of the leaves.
          dtype: a floating-point dtype that every floating-point array is cast to; that of the store by default.
        """
        nodes = self._values_at(collection, paths)
        in_host = [change_leaves(_in_host_memory, node) for node in nodes]
        values = self._read_nodes(in_host, self._dtype if dtype is None else dtype, None)
        is_array = [isinstance(node, Leaf) and node.kind == "array" for node in nodes]
        pairs = list(zip(values, is_array, strict=True))
        kept = set(filter(is_canonical, {value.dtype for value, array in pairs if array}))
        return [ForDevice(one) if array and one.dtype in kept else one for one, array in pairs]

    def _values_at(self, collection: str, paths: Sequence[tuple[str, ...]]) -> list[Tree]:
        nodes = [self._find(collection, path) for path in paths]
        for path, node in zip(paths, nodes, strict=True):
            if isinstance(node, dict):
                raise StorePathError(collection, path, "a node, not a value, is there")
        return nodes

    def _read_nodes(self, nodes: Sequence[Tree], dtype: Any, sharding: ShardingLike) -> list[Any]:
        leaves = {leaf.names: leaf for node in nodes for leaf in leaves_of(node)}
        values = self._read_leaves(list(leaves.values()), dtype, sharding)
        return [map_leaves(lambda leaf: values[leaf.names], node) for node in nodes]

    def snapshot(self, filter: CollectionFilter = True) -> dict[str, Any]:  # noqa: A002 - the protocol's word
        # The names of a store are strings. Keys that were integers in the file are integers here again.
        found = super().snapshot(filter)
        if not has_integers(self._tree):
            return found
        return {name: original_keys(self._tree[name], values) for name, values in found.items()}

    def leaves(self, collection: str, path: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
        # Names are read at opening: this needs no shape, unlike the default.
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

    def close(self) -> None:
        """Release the cache. Closing twice is fine; reading afterwards is an error."""
        with self._lock:
            self._closed = True
            self._cache.clear()
            if self._release is not None:
                self._release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError(type(self).__name__)
        if os.getpid() != self._process:
            raise ForkedStoreError(self._process, os.getpid())

    def _find(self, collection: str, path: tuple[str, ...]) -> Tree:
        self._check_open()
        if collection not in self._tree:
            raise StorePathError(collection, path, "the store does not have this collection")
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
                with self._named_errors():
                    loaded = self._load_specs(missing)
                self._specs.update(
                    (leaf.names, spec) for leaf, spec in zip(missing, loaded, strict=True)
                )
            return [self._specs[leaf.names] for leaf in leaves]

    def _placed_specs(
        self, leaves: Sequence[Leaf], dtype: Any, sharding: ShardingLike
    ) -> list[Any]:
        return [
            _placed_spec(leaf, stored, dtype, sharding)
            for leaf, stored in zip(leaves, self._stored_specs(leaves), strict=True)
        ]

    def _read_leaves(
        self, leaves: Sequence[Leaf], dtype: Any, sharding: ShardingLike
    ) -> dict[tuple[str, ...], Any]:
        # Without the lock, two threads that want the same leaf would both read it.
        with self._lock:
            self._check_open()
            # Otherwise the cache would return values of a checkpoint that has been replaced.
            self._check_same()
            specs = self._placed_specs(leaves, dtype, sharding)
            keys = [
                (
                    leaf.names,
                    leaf.kind,
                    getattr(spec, "dtype", None),
                    getattr(spec, "sharding", None),
                )
                for leaf, spec in zip(leaves, specs, strict=True)
            ]
            missing = [index for index, key in enumerate(keys) if key not in self._cache]
            found = self._load_checked([leaves[i] for i in missing], [specs[i] for i in missing])
            loaded = dict(zip(missing, found, strict=True))
            values = {
                leaf.names: loaded[i] if i in loaded else self._cache.recall(keys[i])
                for i, leaf in enumerate(leaves)
            }
            for index, value in loaded.items():
                self._cache.keep(keys[index], value, self._size(value))
            size = sum(self._bytes_read(leaves[i], specs[i]) for i in missing)
            self._stats = StoreStats(
                leaves=self._stats.leaves + len(missing),
                bytes=self._stats.bytes + size,
                hits=self._stats.hits + len(leaves) - len(missing),
            )
            return values

    def _load_checked(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        if not leaves:
            return []
        try:
            with self._named_errors():
                values = self._load_values(leaves, specs)
        except StoreError:
            # If the checkpoint was replaced meanwhile, that is the error to report.
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
            read = count_elements(local_regions(shape, sharding))
            held = math.prod(sharding.shard_shape(shape)) * len(sharding.addressable_devices)
            self._parts[shape, sharding] = read, held
        return self._parts[shape, sharding]

    def _size(self, value: Any) -> int:
        """Compute the memory that a value takes in this process."""
        if isinstance(value, np.ndarray):
            return value.nbytes
        if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
            return 0
        # `jax.Array.nbytes` takes several times longer than this.
        elements = math.prod(value.shape)
        if elements and not isinstance(value.sharding, jax.sharding.SingleDeviceSharding):
            elements = self._local_elements(value.shape, value.sharding)[1]
        return elements * int(value.dtype.itemsize)

    def __repr__(self) -> str:
        state = "closed"
        if not self._closed:
            count = sum(1 for _ in leaves_of(self._tree))
            state = f"{counted(count, 'leaf', 'leaves')}, {self._stats.leaves} read"
        return f"{type(self).__name__}({self.path!r}, collections={list(self._tree)}, {state})"

    def __rich__(self) -> str:
        """Show the leaves, for the console of rich."""
        # rich would take brackets for markup.
        return "\n".join([repr(self), *self._lines("{}  {}")]).replace("[", "\\[")

    def _repr_html_(self) -> str:
        """Show the leaves, for notebooks."""
        rows = "".join(self._lines("<tr><td>{}</td><td>{}</td></tr>", html.escape))
        return f"<p>{html.escape(repr(self))}</p><table>{rows}</table>"

    def _lines(self, row: str, clean: Callable[[str], str] = str) -> list[str]:
        leaves = [] if self._closed else list(leaves_of(self._tree))
        shown = leaves[:_SHOWN_LEAVES]
        lines = [
            row.format(clean("/".join(leaf.names)), clean(render_spec(spec)))
            for leaf, spec in zip(shown, self._stored_specs(shown), strict=True)
        ]
        more = len(leaves) - len(shown)
        return [*lines, row.format(f"... and {more:,} more", "")] if more else lines


class LazyStore(FileStore):
    """A read-only store over a file whose values are read on demand: opening reads metadata only.

    Example:
      >>> import os, tempfile, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/w": np.arange(2)})
      >>> linen_store.open_store(path).capabilities.lazy
      True
    """

    _reads_parts = True

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=False, lazy=True, thread_safe=True)


def _in_host_memory(leaf: Leaf) -> Leaf:
    return Leaf(leaf.names, "numpy", leaf.joined) if leaf.kind == "array" else leaf


def _placed_spec(leaf: Leaf, stored: Any, dtype: Any, sharding: ShardingLike) -> Any:
    """Apply a dtype and a sharding to a stored spec."""
    if dtype is None and sharding is None:
        return stored
    if not isinstance(stored, jax.ShapeDtypeStruct) or leaf.kind not in ("array", "numpy"):
        return stored
    spec = cast_spec(stored, dtype)
    if sharding is None or not is_canonical(spec.dtype):
        return spec
    where = sharding(leaf.names, spec) if callable(sharding) else sharding
    return array_spec(spec.shape, spec.dtype, where)
