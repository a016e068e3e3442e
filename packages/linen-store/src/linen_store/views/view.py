"""Views: stores whose arrays are functions of the arrays of other stores, computed when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from linen_core import StoreCapabilities, VariableStore
from linen_core.errors import StorePathError
from linen_store._texts import counted
from linen_store.errors import ViewError
from linen_store.reading.file_store import VariableSharding
from linen_store.reading.specs import cast_spec, floating_dtype, is_array_spec
from linen_store.reading.stored import Names, values_of
from linen_store.views.entry import Entry, Leaf, Source
from linen_store.views.evaluation import evaluate
from linen_store.views.operations import Same

__all__ = ["View", "find_entries", "source_of"]


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
    def tree(self) -> Mapping[str, Any]:
        """The leaves, and empty nodes as empty dicts, as nested dicts by name."""
        return self._tree

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
            for _, entry in values_of(self._tree)
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
        specs = [
            cast_spec(spec, dtype) if is_array_spec(spec) else spec
            for spec in (self._specs[one] for one in names)
        ]
        return evaluate(entries, specs, where, dtype)

    def _placement(self, names: Names, dtype: Any, sharding: VariableSharding | None) -> Any:
        """Return where a leaf is put: a sharding; a function, if the leaf is a pytree; None for anywhere."""
        if sharding is None:
            return None
        if is_array_spec(self._specs[names]):
            return sharding(names, cast_spec(self._specs[names], dtype))
        return lambda inner, spec: sharding((*names, *inner), cast_spec(spec, dtype))

    def close(self) -> None:
        """Close the stores below."""
        for source in self._sources():
            source.store.close()

    def __repr__(self) -> str:
        count = counted(len(self._specs), "leaf", "leaves")
        return f"View({self._title}, collections={list(self._tree)}, {count})"


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
        return dict(values_of(store._tree))
    return {
        names: {} if isinstance(spec, dict) else Entry((Source(store, names[0], names[1:], spec),))
        for collection in store.collections()
        for names, spec in values_of({collection: store.spec(collection)})
    }


def source_of(store: VariableStore, names: Names, entry: Entry) -> Source:
    """Return a leaf of a store as the source of an operation, given its entry of `find_entries`.

    Where a view only renames a leaf, the source is the leaf of the store below.
    """
    if entry.operation == Same():
        return entry.sources[0]
    return Source(store, names[0], names[1:], store.spec(names[0], names[1:]), entry)
