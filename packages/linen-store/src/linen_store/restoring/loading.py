"""Reads the chosen arrays of a store, each with its dtype and sharding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from linen_core import VariableStore
from linen_store.reading.file_store import ReadsPlaced
from linen_store.reading.progress import Progress, batches, reporting
from linen_store.reading.specs import array_spec, flatten_names, key_name
from linen_store.reading.stored import Names, value_sizes
from linen_store.restoring.matching import Row
from linen_store.restoring.placement import ModelSharding, sharding_of

__all__ = ["Reading", "placed_value", "read_rows"]


class Reading(NamedTuple):
    """Options of a read."""

    dtype: Any
    sharding: ModelSharding
    progress: Progress


def read_rows(store: VariableStore, rows: Sequence[Row], how: Reading) -> dict[Names, Any]:
    """Read each collection in one batch, or with a progress bar in several.

    Returns:
      The values by their names in the store.
    """
    variables = {row.stored.names: row.names for row in rows if row.stored is not None}
    wanted = value_sizes(row.stored for row in rows if row.stored is not None)
    read = _reader(store, variables, how)
    values: dict[Names, Any] = {}
    with reporting(how.progress, sum(wanted.values())) as report:
        for collection, paths, size in batches(wanted, in_parts=report is not None):
            for path, value in zip(paths, read(collection, paths), strict=True):
                inner, leaves, _ = flatten_names(value)
                for more, leaf in zip(inner, leaves, strict=True):
                    values[collection, *path, *more] = leaf
            if report is not None:
                report(size)
    return values


def _reader(
    store: VariableStore, variables: Mapping[Names, Names], how: Reading
) -> Callable[[str, list[Names]], list[Any]]:
    """Return a function that reads values and places them; the store places them while it reads if it can."""

    def sharding(stored: Names, spec: jax.ShapeDtypeStruct) -> jax.sharding.Sharding | None:
        name = variables.get(stored)
        return None if name is None else sharding_of(name, spec, how.sharding)

    def read_placed(collection: str, paths: list[Names]) -> list[Any]:
        where = None if how.sharding is None else sharding
        values: list[Any] = store.read_placed(collection, paths, dtype=how.dtype, sharding=where)  # type: ignore[attr-defined]
        return values

    def read_then_place(collection: str, paths: list[Names]) -> list[Any]:
        return [
            jax.tree_util.tree_map_with_path(
                lambda keys, leaf, path=path: placed_value(
                    leaf, variables.get((collection, *path, *map(key_name, keys))), how
                ),
                value,
            )
            for path, value in zip(paths, store.read(collection, paths), strict=True)
        ]

    return read_placed if isinstance(store, ReadsPlaced) else read_then_place


def placed_value(leaf: Any, name: Names | None, how: Reading) -> Any:
    """Cast a value that is in memory, and move it to its devices."""
    if name is None or not hasattr(leaf, "dtype"):
        return leaf
    if how.dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = leaf.astype(how.dtype)
    where = sharding_of(name, array_spec(leaf.shape, leaf.dtype), how.sharding)
    return leaf if where is None else jax.device_put(leaf, where)
