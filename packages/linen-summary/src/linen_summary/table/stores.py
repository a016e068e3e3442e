"""Tables of the variables of a store, a mapping of collections, or a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from linen_core.store import VariableStore, as_store, store_class
from linen_core.store.registry import find_format
from linen_core.typing import Path
from linen_summary.recording.calls import as_specs
from linen_summary.table.data import Row
from linen_summary.table.summarize import own_variables
from linen_summary.table.table import Table

__all__ = ["Variables", "specs_of", "tabulate_store"]

Variables = VariableStore | Mapping[str, Any] | str | os.PathLike[str]
"""Variables: a store, a mapping of collections, or the path of a checkpoint."""


def tabulate_store(
    variables: Variables, *, depth: int | None = None, kind: str | None = None
) -> Table:
    """Summarise variables from their specifications, without reading a value.

    Each node of the tree that directly contains variables gets a row. The rows are in the order of the store, and a
    node comes before its descendants.

    Args:
      variables: a store, a mapping of collections, or the path of a checkpoint.
      depth: number of levels of the tree that get rows; all if None. Deeper variables count in the row above them.
      kind: for a path, the name of a registered store (`linen_core.registered_stores`). The default is the
        registered format that recognizes the path.

    Raises:
      UnknownStoreError: the store is not registered. The message names the package that registers it.

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
    """Return the specifications of variables as nested dicts by collection, sorted by collection.

    Args:
      variables: a store, a mapping of collections, or the path of a checkpoint.
      kind: as for `tabulate_store`.

    Raises:
      UnknownStoreError: the store is not registered. The message names the package that registers it.
    """
    if isinstance(variables, str | os.PathLike):
        path = os.fspath(variables)
        open_path: Any = store_class(kind) if kind else find_format(path)
        with open_path(path) as opened:
            return specs_of(opened)
    store = as_store(variables)
    return {name: as_specs(store.spec(name)) for name in sorted(store.collections())}


def _rows(specs: Mapping[str, Any], depth: int | None) -> Iterator[Row]:
    paths = [path for collection in specs.values() for path in _owners(collection, ())]
    shown = {path[:depth] for path in paths}
    ranks: dict[Path, int] = {}
    for path in paths:
        for length in range(len(path)):
            ranks.setdefault(path[: length + 1], len(ranks))
    ordered = sorted(shown, key=lambda path: [ranks[path[: n + 1]] for n in range(len(path))])
    for index, path in enumerate(ordered):
        own = own_variables(path, specs, shown)
        yield Row(path, None, "", (), None, own, own, index=index)


def _owners(node: Any, path: Path) -> Iterator[Path]:
    """Yield the paths of nodes that directly contain variables, and of empty nodes below the top."""
    if not isinstance(node, Mapping):  # the collection is one value
        yield path
        return
    inner = [name for name, child in node.items() if isinstance(child, Mapping)]
    if len(inner) < len(node) or (path and not node):
        yield path
    for name in inner:
        yield from _owners(node[name], (*path, name))
