"""Lists the arrays of any store by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from linen_core import VariableStore
from linen_store.reading.specs import flatten_names, nbytes

__all__ = ["Names", "Stored", "arrays_of", "read_array", "value_sizes", "values_of"]

Names: TypeAlias = tuple[str, ...]
"""A collection and the names that lead to an array in it."""


class Stored(NamedTuple):
    """One array of a store."""

    collection: str
    path: Names
    """The path of the value that the array is, or is a part of."""

    names: Names
    """The collection, the path, and the names inside the value."""

    spec: Any

    @property
    def is_whole(self) -> bool:
        """True if the array is the whole value."""
        return len(self.names) == 1 + len(self.path)


def arrays_of(store: VariableStore, *, nones: bool = False) -> list[Stored]:
    """List the arrays of a store, those in pytrees too, and with ``nones`` each None."""
    return [
        Stored(names[0], names[1:], (*names, *more), spec)
        for collection in store.collections()
        for names, value in values_of({collection: store.spec(collection)})
        for more, spec in zip(*flatten_names(value, nones=nones)[:2], strict=True)
    ]


def values_of(tree: Mapping[str, Any], names: Names = ()) -> Iterator[tuple[Names, Any]]:
    """Walk the values and empty nodes of nested dicts, with the names that lead to them."""
    for name, child in tree.items():
        if isinstance(child, dict) and child:
            yield from values_of(child, (*names, name))
        else:
            yield (*names, name), child


def value_sizes(arrays: Iterable[Stored]) -> dict[tuple[str, Names], int]:
    """Compute the size of each value that arrays are in, in bytes, by its collection and path."""
    sizes: dict[tuple[str, Names], int] = {}
    for one in arrays:
        place = (one.collection, one.path)
        sizes[place] = sizes.get(place, 0) + nbytes(one.spec)
    return sizes


def read_array(store: VariableStore, one: Stored) -> Any:
    """Read one array, alone or from the pytree that it is in."""
    names, leaves, _ = flatten_names(store.get(one.collection, one.path))
    return leaves[names.index(one.names[1 + len(one.path) :])]
