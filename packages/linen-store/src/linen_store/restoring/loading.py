"""Reading the arrays that were chosen, each in the dtype and the place that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from linen_core import VariableStore
from linen_store.reading.file_store import LazyStore
from linen_store.reading.progress import Progress, batches, reporting
from linen_store.reading.specs import array_spec, flatten_names, key_name, nbytes
from linen_store.restoring.matching import Names, Row

__all__ = ["ModelSharding", "Reading", "placed", "read_rows"]

ModelSharding: TypeAlias = (
    jax.sharding.Sharding
    | Callable[[Names, jax.ShapeDtypeStruct], jax.sharding.Sharding | None]
    | Mapping[str, Any]
    | None
)
"""One sharding for all, a function of a variable's names and spec, or a tree like the variables."""


class Reading(NamedTuple):
    """How arrays are read."""

    dtype: Any
    sharding: ModelSharding
    progress: Progress


def read_rows(store: VariableStore, rows: Sequence[Row], how: Reading) -> dict[Names, Any]:
    """Read each collection in one batch, or with a progress bar in several.

    Returns:
      The values by their names in the store.
    """
    variables = {row.stored.names: row.names for row in rows if row.stored is not None}
    wanted: dict[tuple[str, Names], int] = {}
    for row in rows:
        if row.stored is not None:
            address = (row.stored.collection, row.stored.path)
            wanted[address] = wanted.get(address, 0) + nbytes(row.stored.spec)
    values: dict[Names, Any] = {}
    read = _read_placed if isinstance(store, LazyStore) else _read_and_place
    with reporting(how.progress, sum(wanted.values())) as report:
        for collection, paths, size in batches(wanted, in_parts=report is not None):
            found = read(store, collection, paths, variables, how)
            for path, value in zip(paths, found, strict=True):
                inner, leaves, _ = flatten_names(value)
                for more, leaf in zip(inner, leaves, strict=True):
                    values[collection, *path, *more] = leaf
            if report is not None:
                report(size)
    return values


def _read_placed(
    store: Any,
    collection: str,
    paths: list[Names],
    variables: Mapping[Names, Names],
    how: Reading,
) -> list[Any]:
    """Let the store put each array where it belongs while it reads."""
    variable = {
        in_file: variables.get((collection, *path, *inner))
        for path in paths
        for in_file, inner in store.inner_names(collection, path).items()
    }

    def where(in_file: Names, spec: jax.ShapeDtypeStruct) -> jax.sharding.Sharding | None:
        name = variable.get(in_file)
        return None if name is None else _sharding_of(name, spec, how.sharding)

    sharding = None if how.sharding is None else where
    values: list[Any] = store.read_placed(collection, paths, dtype=how.dtype, sharding=sharding)
    return values


def _read_and_place(
    store: VariableStore,
    collection: str,
    paths: list[Names],
    variables: Mapping[Names, Names],
    how: Reading,
) -> list[Any]:
    values = store.read(collection, paths)
    return [
        jax.tree_util.tree_map_with_path(
            lambda keys, leaf, path=path: placed(
                leaf, variables.get((collection, *path, *map(key_name, keys))), how
            ),
            value,
        )
        for path, value in zip(paths, values, strict=True)
    ]


def placed(leaf: Any, name: Names | None, how: Reading) -> Any:
    """Cast a value that was not read by a store of ours, and put it in its place."""
    if name is None or not hasattr(leaf, "dtype"):
        return leaf
    if how.dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = leaf.astype(how.dtype)
    where = _sharding_of(name, array_spec(leaf.shape, leaf.dtype), how.sharding)
    return leaf if where is None else jax.device_put(leaf, where)


def _sharding_of(name: Names, spec: Any, sharding: ModelSharding) -> jax.sharding.Sharding | None:
    if sharding is None or isinstance(sharding, jax.sharding.Sharding):
        return sharding
    if callable(sharding):
        return sharding(name, spec)
    node: Any = sharding
    for part in name:
        # A tree of shardings may stand for boxed variables and have no boxes itself.
        if isinstance(node, jax.sharding.Sharding):
            break
        node = _child(node, part)
    return node if isinstance(node, jax.sharding.Sharding) else None


def _child(node: Any, name: str) -> Any:
    """Take one step down a tree of shardings; None where it does not go on."""
    if isinstance(node, Mapping):
        found = {str(key): child for key, child in node.items()}
        return found.get(name)
    if isinstance(node, tuple | list) and name.isdecimal():
        return node[int(name)] if int(name) < len(node) else None
    return getattr(node, name, None)
