"""Views: stores whose arrays are functions of the arrays of other stores, computed when they are read."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from linen_core import StoreCapabilities, VariableStore
from linen_core.errors import StorePathError
from linen_store._texts import counted
from linen_store.errors import ViewError
from linen_store.reading.file_store import ReadsPlaced, VariableSharding
from linen_store.reading.specs import (
    array_spec,
    cast_spec,
    floating_dtype,
    is_array_spec,
    key_name,
    nbytes,
)
from linen_store.reading.stored import Names
from linen_store.views.operations import Operation, Pipeline, Same, Stack

__all__ = [
    "Entry",
    "Leaf",
    "Source",
    "StoreLike",
    "View",
    "entries_of",
    "find_entries",
    "source_of",
]


_JOINED_BYTES = 1 << 26
"""The size of a stack from which on its layers are read one after the other."""

StoreLike: TypeAlias = VariableStore | Mapping[str, Any]
"""A store, or nested mappings of variables by collection."""


class Source:
    """A leaf of a store, with its spec.

    Attributes:
      store: the store.
      collection: the collection.
      path: the names that lead to the leaf.
      spec: the spec that the store gives.
    """

    __slots__ = ("collection", "path", "spec", "store")

    def __init__(self, store: VariableStore, collection: str, path: Names, spec: Any) -> None:
        self.store = store
        self.collection = collection
        self.path = path
        self.spec = spec

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Source):
            return NotImplemented
        here, there = (self.collection, self.path), (other.collection, other.path)
        return self.store is other.store and here == there

    def __hash__(self) -> int:
        return hash((id(self.store), self.collection, self.path))


class Entry(NamedTuple):
    """A leaf of a view: an operation on leaves of other stores."""

    sources: tuple[Source, ...]
    operation: Operation = Same()

    def spec(self) -> Any:
        """Describe the leaf.

        Raises:
          ValueError: the operation does not fit the sources.
        """
        for source in self.sources:
            if self.operation != Same() and not is_array_spec(source.spec):
                msg = f"{'/'.join((source.collection, *source.path))} is not one array"
                raise ValueError(msg)
        return self.operation.spec([source.spec for source in self.sources])


Leaf: TypeAlias = Entry | dict[str, Any]
"""A leaf of a view, or an empty node."""


class View(VariableStore):
    """A read-only store whose leaves are operations on the leaves of other stores.

    Nothing is read when it is made. A read gathers the leaves that are needed, reads them in one batch for each
    collection, and computes. The functions of `linen_store.views` make views.

    Args:
      entries: pairs of the names that lead to a leaf, collection first, and the leaf; an empty dict is an empty node.
      title: a text for `repr`, and for errors.

    Raises:
      ViewError: two leaves have one name, a leaf is below another, or an operation does not fit its sources.

    Example:
      >>> import linen_core as nn, numpy as np
      >>> store = nn.MemoryStore({"params": {"w": np.arange(6).reshape(2, 3)}})
      >>> source = Source(store, "params", ("w",), store.spec("params", ("w",)))
      >>> view = View([(("params", "kernel"), Entry((source,)))], "an example")
      >>> view.get("params", ("kernel",)).shape
      (2, 3)
    """

    def __init__(self, entries: Iterable[tuple[Names, Leaf]], title: str) -> None:
        self._title = title
        self._tree: dict[str, Any] = {}
        self._specs: dict[Names, Any] = {}
        problems = []
        for names, entry in entries:
            try:
                _insert_once(self._tree, names, entry)
                if isinstance(entry, Entry):
                    self._specs[names] = entry.spec()
            except ValueError as error:
                problems.append(f"{'/'.join(names)}: {error}")
        if problems:
            raise ViewError(title, problems)

    @property
    def capabilities(self) -> StoreCapabilities:
        stores = [source.store.capabilities for source in self._sources()]
        return StoreCapabilities(
            writable=False,
            lazy=any(one.lazy for one in stores),
            thread_safe=all(one.thread_safe for one in stores),
        )

    def _sources(self) -> Iterable[Source]:
        found = {
            id(source.store): source
            for _, entry in entries_of(self._tree)
            if isinstance(entry, Entry)
            for source in entry.sources
        }
        return found.values()

    def collections(self) -> tuple[str, ...]:
        return tuple(self._tree)

    def children(self, collection: str, path: Names = ()) -> tuple[str, ...]:
        node = self._find(collection, path)
        return tuple(node) if isinstance(node, dict) else ()

    def spec(self, collection: str, path: Names = ()) -> Any:
        return self._describe(self._find(collection, path), (collection, *path))

    def _describe(self, node: Any, names: Names) -> Any:
        if isinstance(node, dict):
            return {name: self._describe(child, (*names, name)) for name, child in node.items()}
        return self._specs[names]

    def _find(self, collection: str, path: Names) -> Any:
        node: Any = self._tree
        for name in (collection, *path):
            if not isinstance(node, dict) or name not in node:
                raise StorePathError(collection, path)
            node = node[name]
        return node

    def read(self, collection: str, paths: Sequence[Names]) -> list[Any]:
        return self.read_placed(collection, paths)

    def read_placed(
        self,
        collection: str,
        paths: Sequence[Names],
        *,
        dtype: Any = None,
        sharding: VariableSharding | None = None,
    ) -> list[Any]:
        """Read several leaves in one batch, cast to a dtype and put on devices (see `FileStore.read_placed`)."""
        entries = [self._find(collection, path) for path in paths]
        for path, entry in zip(paths, entries, strict=True):
            if isinstance(entry, dict):
                raise StorePathError(collection, path, "a node, not a value, is there")
        dtype = floating_dtype(dtype)
        names = [(collection, *path) for path in paths]
        where = [self._placement(one, dtype, sharding) for one in names]
        joined = [
            _is_large_stack(entry, self._specs[one])
            for entry, one in zip(entries, names, strict=True)
        ]
        rest = [
            (entry, place)
            for entry, place, is_joined in zip(entries, where, joined, strict=True)
            if not is_joined
        ]
        values = _read_sources([entry for entry, _ in rest], [place for _, place in rest])
        return [
            _join_stack(entry, cast_spec(self._specs[one], dtype), place)
            if is_joined
            else self._finish(entry, [values[source] for source in entry.sources], dtype, place)
            for entry, one, place, is_joined in zip(entries, names, where, joined, strict=True)
        ]

    def _placement(self, names: Names, dtype: Any, sharding: VariableSharding | None) -> Any:
        """Return where a leaf is put: a sharding; a function, if the leaf is a pytree; None for anywhere."""
        if sharding is None:
            return None
        if is_array_spec(self._specs[names]):
            return sharding(names, cast_spec(self._specs[names], dtype))
        return lambda inner, spec: sharding((*names, *inner), cast_spec(spec, dtype))

    @staticmethod
    def _finish(entry: Entry, values: list[Any], dtype: Any, place: Any) -> Any:
        def finish(keys: Any, array: Any) -> Any:
            if not hasattr(array, "dtype"):
                return array
            if dtype is not None and jnp.issubdtype(array.dtype, jnp.floating):
                array = array.astype(dtype)
            where = place
            if callable(place):
                where = place(tuple(map(key_name, keys)), array_spec(array.shape, array.dtype))
            return array if where is None else jax.device_put(array, where)

        return jax.tree_util.tree_map_with_path(finish, entry.operation.compute(values))

    def close(self) -> None:
        """Close the stores below."""
        for source in self._sources():
            source.store.close()

    def __repr__(self) -> str:
        count = counted(len(self._specs), "leaf", "leaves")
        return f"View({self._title}, collections={list(self._tree)}, {count})"


def _read_sources(entries: Sequence[Entry], where: Sequence[Any]) -> dict[Source, Any]:
    """Read the sources of entries, each once, in one batch for each collection of a store."""
    places: dict[Source, Any] = {}
    for entry, place in zip(entries, where, strict=True):
        for source in entry.sources:
            found = _source_place(entry.operation, source, place)
            # An array that two entries need in different places is read whole.
            places[source] = found if places.setdefault(source, found) == found else None
    batches: dict[tuple[int, str], list[Source]] = {}
    for source in places:
        batches.setdefault((id(source.store), source.collection), []).append(source)
    values: dict[Source, Any] = {}
    for batch in batches.values():
        values.update(zip(batch, _read_batch(batch, places), strict=True))
    return values


def _is_large_stack(entry: Entry, spec: Any) -> bool:
    """Return whether an entry is a stack that must not be in memory twice, once in layers and once as a whole."""
    operation = entry.operation
    is_stack = (
        isinstance(operation, Pipeline)
        and isinstance(operation.combine, Stack)
        and not operation.after
    )
    return (is_stack or isinstance(operation, Stack)) and nbytes(spec) >= _JOINED_BYTES


def _join_stack(entry: Entry, spec: Any, place: Any) -> Any:
    """Read the layers of a stack one after the other into the result."""
    operation = entry.operation
    pipeline = operation if isinstance(operation, Pipeline) else Pipeline((), operation)
    each = Pipeline(pipeline.before)
    axis = pipeline.combine.axis % len(spec.shape)  # type: ignore[attr-defined]
    result = jnp.zeros(spec.shape, spec.dtype, device=place)
    for number, source in enumerate(entry.sources):
        (layer,) = _read_batch([source], {source: _source_place(operation, source, place)})
        layer = jnp.asarray(each.compute([layer])).astype(spec.dtype)
        # Otherwise the next layers would be read before this one is released.
        result = jax.block_until_ready(_insert(result, layer, number, axis))
    return result


@functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
def _insert(whole: Any, layer: Any, number: int, axis: int) -> Any:
    return jax.lax.dynamic_update_index_in_dim(whole, layer, number, axis)


def _read_batch(batch: Sequence[Source], places: Mapping[Source, Any]) -> list[Any]:
    store, collection = batch[0].store, batch[0].collection
    paths = [source.path for source in batch]
    if not isinstance(store, ReadsPlaced) or all(places[source] is None for source in batch):
        return store.read(collection, paths)
    by_names = {(source.collection, *source.path): places[source] for source in batch}

    def where(names: Names, spec: Any) -> Any:
        if names in by_names:
            return by_names[names]
        # The array is inside a leaf that is a pytree.
        for depth in range(len(names) - 1, 0, -1):
            if place := by_names.get(names[:depth]):
                return place(names[depth:], spec)
        return None

    return store.read_placed(collection, paths, sharding=where)


def _source_place(operation: Operation, source: Source, place: Any) -> Any:
    """Return where a source is read so that the result needs no further move; None if that is not known."""
    if place is None:
        return None
    spec = source.spec
    if not isinstance(place, jax.sharding.NamedSharding) or not is_array_spec(spec):
        return place if isinstance(operation, Same) else None
    found = operation.source_spec(place.spec, len(spec.shape))
    return None if found is None else jax.sharding.NamedSharding(place.mesh, found)


def entries_of(tree: Mapping[str, Any], names: Names = ()) -> Iterable[tuple[Names, Any]]:
    """Walk the leaves and empty nodes of nested dicts."""
    for name, child in tree.items():
        if isinstance(child, dict) and child:
            yield from entries_of(child, (*names, name))
        else:
            yield (*names, name), child


def _insert_once(tree: dict[str, Any], names: Names, entry: Leaf) -> None:
    """Insert a leaf into nested dicts, unless its place is taken."""
    for depth, name in enumerate(names[:-1], 1):
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            msg = f"{'/'.join(names[:depth])} is an array, so nothing can be below it"
            raise ValueError(msg)
    found = tree.get(names[-1])
    if entry == {} and isinstance(found, dict):
        return  # another store has something in this node
    if found is not None and found != {}:
        msg = (
            "two arrays get this name" if isinstance(found, Entry) else "other arrays are below it"
        )
        raise ValueError(msg)
    tree[names[-1]] = entry if isinstance(entry, Entry) else {}  # not the dict of another view


def find_entries(store: VariableStore) -> dict[Names, Leaf]:
    """Return the leaves and empty nodes of a store as entries of a view of the same layout."""
    if isinstance(store, View):
        return dict(entries_of(store._tree))
    return {
        names: {} if isinstance(spec, dict) else Entry((Source(store, names[0], names[1:], spec),))
        for collection in store.collections()
        for names, spec in entries_of({collection: store.spec(collection)})
    }


def source_of(store: VariableStore, names: Names, entry: Entry) -> Source:
    """Return a leaf of a store as the source of an operation, given its entry of `find_entries`.

    Where a view only renames a leaf, the source is the leaf of the store below.
    """
    if entry.operation == Same():
        return entry.sources[0]
    return Source(store, names[0], names[1:], store.spec(names[0], names[1:]))
