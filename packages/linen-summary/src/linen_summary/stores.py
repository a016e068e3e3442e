"""Tables of variables alone: of a store, of a mapping of collections, of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from linen_core.store import VariableStore, as_store, store_class
from linen_core.store.registry import find_format
from linen_core.typing import Path
from linen_summary._values import as_specs, own_variables
from linen_summary.table import Row, Table

__all__ = ["Variables", "specs_of", "tabulate_store"]

Variables = VariableStore | Mapping[str, Any] | str | os.PathLike[str]
"""What variables are given as: a store, a mapping of collections, or the path of a checkpoint."""


def tabulate_store(
    variables: Variables, *, depth: int | None = None, kind: str | None = None
) -> Table:
    """Find what variables there are, from their specifications alone: no value is read.

    Each part of the tree that holds variables itself gets a row, after those that it is a part of, in the order in
    which the store has them.

    Args:
      variables: a store, a mapping of collections, or the path of a checkpoint.
      depth: how many levels of the tree get rows; what lies deeper counts in the row above. All if None.
      kind: for a path, the name of a registered store (`linen_core.registered_stores`); by default, the registered
        format that recognises the path.

    Raises:
      UnknownStoreError: no such store is registered; the message says which package brings it.

    Example:
      >>> table = tabulate_store({"params": {"dense": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}}})
      >>> [(row.name, row.size) for row in table], table.bytes
      ([('dense', 16)], 64)
    """
    specs = specs_of(variables, kind=kind)
    rows = list(_rows(specs, depth))
    title = "Variables"
    if isinstance(variables, str | os.PathLike):
        title += f" of {os.fspath(variables)}"
    return Table(None, tuple(specs), tuple(rows), title=title)


def specs_of(variables: Variables, *, kind: str | None = None) -> dict[str, Any]:
    """Return the specifications of variables as nested dicts by collection, the collections sorted.

    Args:
      variables: a store, a mapping of collections, or the path of a checkpoint.
      kind: as for `tabulate_store`.

    Raises:
      UnknownStoreError: no such store is registered; the message says which package brings it.
    """
    if isinstance(variables, str | os.PathLike):
        with _opened(os.fspath(variables), kind) as store:
            return specs_of(store)
    store = as_store(variables)
    return {name: as_specs(store.spec(name)) for name in sorted(store.collections())}


def _opened(path: str, kind: str | None) -> VariableStore:
    opening: Any = store_class(kind) if kind else find_format(path)
    store: VariableStore = opening(path)
    return store


def _rows(specs: Mapping[str, Any], depth: int | None) -> Iterator[Row]:
    shown = {path[:depth] for collection in specs.values() for path in _holders(collection, ())}
    ranks: dict[Path, int] = {}
    for collection in specs.values():
        for path in _holders(collection, ()):
            for length in range(len(path)):
                ranks.setdefault(path[: length + 1], len(ranks))
    ordered = sorted(shown, key=lambda path: [ranks[path[: n + 1]] for n in range(len(path))])
    for index, path in enumerate(ordered):
        own = own_variables(path, specs, shown)
        yield Row(path, None, "", (), None, own, own, index=index)


def _holders(node: Any, path: Path) -> Iterator[Path]:
    """Give the paths of nodes that hold variables themselves, or nothing at all below the top."""
    if not isinstance(node, Mapping):  # a collection that is one value
        yield path
        return
    inner = [name for name, child in node.items() if isinstance(child, Mapping)]
    if len(inner) < len(node) or (path and not node):
        yield path
    for name in inner:
        yield from _holders(node[name], (*path, name))
