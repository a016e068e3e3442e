"""The sharding that arrays had when they were saved, on the mesh that is set now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from linen_core import VariableStore
from linen_store._jax_compat import get_mesh
from linen_store.formats.orbax.checkpoint_store import CheckpointStore
from linen_store.reading.stored import Names
from linen_store.restoring.matching import Row
from linen_store.restoring.placement import ModelSharding, axis_names, sharding_of

__all__ = ["or_saved_sharding"]


def or_saved_sharding(
    asked: ModelSharding, store: VariableStore, rows: Sequence[Row]
) -> ModelSharding:
    """Return the sharding of each variable: the one that is asked for, else that of the time of `save`.

    An axis that the mesh lacks, or that does not divide the array now, is left out. Arrays that were on one device have
    no sharding.

    Args:
      asked: the sharding that is asked for.
      store: the store; only an Orbax checkpoint has records of shardings.
      rows: the variables, and the arrays of the store.
    """
    mesh = get_mesh()
    if mesh.empty or not isinstance(store, CheckpointStore):
        return asked
    found = {
        row.names: store.saved_partition(row.stored.collection, row.stored.path)
        for row in rows
        if row.stored is not None
    }

    def where(names: Names, spec: Any) -> jax.sharding.Sharding | None:
        own = sharding_of(names, spec, asked)
        partition = found.get(names)
        if own is not None or partition is None:
            return own
        return NamedSharding(mesh, _fitting_axes(partition, spec, mesh))

    return where


def _fitting_axes(partition: Sequence[Any], spec: Any, mesh: Mesh) -> PartitionSpec:
    axes: list[Any] = []
    for size, entry in zip(spec.shape, partition, strict=False):
        known = tuple(name for name in axis_names(entry) if name in mesh.shape)
        divides = size % math.prod(mesh.shape[name] for name in known) == 0
        axes.append(known if known and divides else None)
    return PartitionSpec(*axes)
