"""Stores as nested mappings: the interface through which scopes read any store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from linen_core._jax_compat import set_current_trace, tracing
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
      home: the JAX trace of the run that uses the view. Reads under an inner trace then happen in this one, since the
        value is a constant of the inner trace with a dict too. None if it is unknown.

    Attributes:
      is_lazy: whether a read may do I/O.

    Example:
      >>> store = nn.MemoryStore({"params": {"dense": {"bias": 1.0}}})
      >>> StoreView(store, "params")["dense"]["bias"]
      1.0
    """

    __slots__ = ("_collection", "_home", "_nodes", "_path", "_store", "_values", "is_lazy")

    def __init__(
        self,
        store: VariableStore,
        collection: str,
        path: Path = (),
        values: Mapping[Path, Any] = NO_VALUES,
        home: Any = None,
    ) -> None:
        self._store = store
        self._collection = collection
        self._path = path
        self._values = values
        self._home = home
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
            if not self.is_lazy:
                return self._store.get(self._collection, path)
            with self._reading(path):
                return self._store.get(self._collection, path)
        if name not in self:
            raise KeyError(name)
        node = StoreView(self._store, self._collection, path, self._values, self._home)
        return self._nodes.setdefault(name, node)

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
        leaves = store.leaves(collection, path) if self.is_lazy else ()
        is_read = any(leaf not in self._values for leaf in leaves)
        with self._reading(path) if is_read else contextlib.nullcontext():
            snapshot: dict[str, Any] = read_tree(store, collection, path, self._values)
        return snapshot

    def _reading(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """Return the context in which a lazy store is read."""
        if not tracing():
            return contextlib.nullcontext()
        if self._home is None:
            raise LazyStoreTracedError(type(self._store).__name__, self._collection, path)
        return set_current_trace(self._home)  # type: ignore[no-any-return]

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
    variables: object, values: Mapping[str, Mapping[Path, Any]] = NO_VALUES, home: Any = None
) -> Mapping[str, Any]:
    """Return variables as a mapping of collections; those of a store become views.

    Args:
      variables: a mapping of collections, or a store.
      values: for each collection the values of a store that have been read before, by path.
      home: the JAX trace in which a lazy store may be read; see `StoreView`.

    Raises:
      ApplyScopeInvalidVariablesTypeError: ``variables`` is neither.
    """
    if isinstance(variables, Mapping):
        return variables
    if isinstance(variables, VariableStore):
        return {
            name: StoreView(variables, name, (), values.get(name, NO_VALUES), home)
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
