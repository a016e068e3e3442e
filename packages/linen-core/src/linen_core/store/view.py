"""Stores as nested mappings: the interface through which scopes read any store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from linen_core._jax_compat import tracing
from linen_core.errors import ApplyScopeInvalidVariablesTypeError, LazyStoreTracedError
from linen_core.filters import CollectionFilter, in_filter
from linen_core.store.base import NO_VALUES, VariableStore, read_tree
from linen_core.store.memory import MemoryStore
from linen_core.typing import Path, PyTree

__all__ = [
    "StoreView",
    "Variables",
    "as_store",
    "readable",
    "snapshot_mapping",
    "working_copy",
]

Variables: TypeAlias = Mapping[str, Any] | VariableStore
"""Variables as `apply` takes them: nested mappings by collection, or a store."""


class StoreView(Mapping[str, Any]):
    """One node of a store as a mapping from names to values and further nodes.

    A value is read when it is looked up.

    Args:
      store: the store.
      collection: the collection.
      path: the path of the node.
      values: values of the collection that have been read before, by path. They are not read again.

    Attributes:
      is_lazy: whether a read may do I/O.

    Example:
      >>> store = nn.MemoryStore({"params": {"dense": {"bias": 1.0}}})
      >>> StoreView(store, "params")["dense"]["bias"]
      1.0
    """

    __slots__ = ("_collection", "_nodes", "_path", "_store", "_values", "is_lazy")

    def __init__(
        self,
        store: VariableStore,
        collection: str,
        path: Path = (),
        values: Mapping[Path, Any] = NO_VALUES,
    ) -> None:
        self._store = store
        self._collection = collection
        self._path = path
        self._values = values
        self._nodes: dict[str, StoreView] = {}
        self.is_lazy = store.capabilities.lazy

    def __getitem__(self, name: str) -> Any:
        node = self._nodes.get(name)
        if node is not None:
            return node
        path = (*self._path, name)
        if path in self._values:
            return self._values[path]
        if self._store.is_leaf(self._collection, path):
            if self.is_lazy and tracing():
                raise LazyStoreTracedError(type(self._store).__name__, self._collection, path)
            return self._store.get(self._collection, path)
        if name not in self:
            raise KeyError(name)
        return self._nodes.setdefault(
            name, StoreView(self._store, self._collection, path, self._values)
        )

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._store.contains(self._collection, (*self._path, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.children(self._collection, self._path))

    def __len__(self) -> int:
        return len(self._store.children(self._collection, self._path))

    def spec(self, name: str) -> Any:
        """Describe the content of a name without reading it."""
        return self._store.spec(self._collection, (*self._path, name))

    def snapshot(self) -> dict[str, Any]:
        """Read the node in one batch, into a nested dict."""
        store, collection, path = self._store, self._collection, self._path
        is_unsafe = self.is_lazy and tracing()
        if is_unsafe and any(leaf not in self._values for leaf in store.leaves(collection, path)):
            raise LazyStoreTracedError(type(store).__name__, collection, path)
        snapshot: dict[str, Any] = read_tree(store, collection, path, self._values)
        return snapshot

    def __repr__(self) -> str:
        where = "/".join((self._collection, *self._path))
        return f"StoreView({type(self._store).__name__}, {where!r})"


def as_store(variables: object) -> VariableStore:
    """Return variables as a store.

    Args:
      variables: a store, which is returned unchanged, or a mapping of collections, which is not copied.

    Raises:
      ApplyScopeInvalidVariablesTypeError: ``variables`` is neither.

    Example:
      >>> as_store({"params": {}}).collections()
      ('params',)
    """
    if isinstance(variables, VariableStore):
        return variables
    if isinstance(variables, Mapping):
        return MemoryStore(variables)
    raise ApplyScopeInvalidVariablesTypeError(type(variables).__name__)


def snapshot_mapping(node: PyTree) -> Any:
    """Copy nested mappings into plain dicts that share the values. A view is read in one batch."""
    if isinstance(node, StoreView):
        return node.snapshot()
    if isinstance(node, Mapping):
        return {name: snapshot_mapping(child) for name, child in node.items()}
    return node


def readable(
    variables: object, values: Mapping[str, Mapping[Path, Any]] = NO_VALUES
) -> Mapping[str, Any]:
    """Return variables as a mapping of collections; those of a store become views.

    Args:
      variables: a mapping of collections, or a store.
      values: for each collection the values of a store that have been read before, by path.

    Raises:
      ApplyScopeInvalidVariablesTypeError: ``variables`` is neither.
    """
    if isinstance(variables, Mapping):
        return variables
    if isinstance(variables, VariableStore):
        return {
            name: StoreView(variables, name, (), values.get(name, NO_VALUES))
            for name in variables.collections()
        }
    found = f"a {type(variables).__name__}"
    raise ApplyScopeInvalidVariablesTypeError(found)


def working_copy(variables: Mapping[str, Any], mutable: CollectionFilter) -> dict[str, Any]:
    """Return the collections for one run: mutable ones are copied into nested dicts."""
    if mutable is False:
        return dict(variables)
    return {
        name: snapshot_mapping(collection) if in_filter(mutable, name) else collection
        for name, collection in variables.items()
    }
