"""Leaves of views: operations on the leaves of other stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from linen_core import VariableStore
from linen_store.reading.specs import is_array_spec
from linen_store.reading.stored import Names
from linen_store.views.operations import Operation, Same

__all__ = ["Entry", "Leaf", "Source", "StoreLike"]

StoreLike: TypeAlias = VariableStore | Mapping[str, Any]
"""A store, or nested mappings of variables by collection."""


_UNCHANGED = Same()


class Source:
    """A leaf of a store, with its spec.

    Attributes:
      store: the store.
      collection: the collection.
      path: the names that lead to the leaf.
      spec: the spec that the store gives.
      entry: what the leaf is, if the store is a view.
    """

    __slots__ = ("collection", "entry", "path", "spec", "store")

    def __init__(
        self,
        store: VariableStore,
        collection: str,
        path: Names,
        spec: Any,
        entry: Entry | None = None,
    ) -> None:
        self.store = store
        self.collection = collection
        self.path = path
        self.spec = spec
        self.entry = entry

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Source):
            return NotImplemented
        here, there = (self.collection, self.path), (other.collection, other.path)
        return self.store is other.store and here == there

    def __hash__(self) -> int:
        return hash((id(self.store), self.collection, self.path))


class Entry:
    """A leaf of a view: an operation on leaves of other stores.

    Attributes:
      sources: the leaves.
      operation: the operation.
      known: the spec, once it is known. Entries of one operation on arrays of one spec may share it.
    """

    # A view makes one of these for each leaf. A dataclass would take twice the time.
    __slots__ = ("known", "operation", "sources")

    def __init__(
        self, sources: tuple[Source, ...], operation: Operation = _UNCHANGED, known: Any = None
    ) -> None:
        self.sources = sources
        self.operation = operation
        self.known = known

    def spec(self) -> Any:
        """Describe the leaf.

        Raises:
          ValueError: the operation does not fit the sources.
        """
        if type(self.operation) is Same:
            return self.sources[0].spec
        if self.known is None:
            if not self.sources:
                msg = "expected at least one array"
                raise ValueError(msg)
            for source in self.sources:
                if not is_array_spec(source.spec):
                    msg = f"{'/'.join((source.collection, *source.path))} is not one array"
                    raise ValueError(msg)
            self.known = self.operation.spec([source.spec for source in self.sources])
        return self.known


Leaf: TypeAlias = Entry | dict[str, Any]
"""A leaf of a view, or an empty node."""
