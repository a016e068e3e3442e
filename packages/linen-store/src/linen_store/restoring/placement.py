"""Where arrays go on a mesh, and what that costs each process and device, from metadata alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, Unpack

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core import VariableStore
from linen_core.meta import get_partition_spec
from linen_store._texts import counted
from linen_store.errors import MeshSizeError, RestoreMismatchError, UnevenShardingError
from linen_store.formats.opening import OpenOptions, opened_store
from linen_store.reading.file_store import ShardingLike
from linen_store.reading.specs import cast_spec, floating_dtype, key_name, nbytes
from linen_store.restoring.matching import Names, Row, Stored, index_store, match, mismatches

__all__ = ["LeafPlan", "MeshLike", "ReadPlan", "Rules", "mesh_sharding", "plan"]

Rules: TypeAlias = Sequence[tuple[str, str | tuple[str, ...] | None]]
"""Which mesh axis, or axes, each logical axis name stands for (see `linen_core.logical_to_mesh_axes`)."""

MeshLike: TypeAlias = Mesh | AbstractMesh | Mapping[str, int]
"""A mesh, or the sizes of its axes by name."""

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class LeafPlan:
    """What becomes of one array.

    Example:
      >>> (leaf,) = plan(None, {"params": {"w": np.ones((8, 4), np.float32)}}, {"data": 4}).leaves
      >>> leaf.names, leaf.device_bytes
      (('params', 'w'), 128)
    """

    names: Names
    """The variable."""

    spec: Any
    """Its shape and dtype."""

    partition: PartitionSpec
    """The mesh axes that its axes are split over."""

    device_bytes: int
    """What each device holds of it."""


@dataclasses.dataclass(frozen=True)
class ReadPlan:
    """What loading variables onto a mesh reads and holds.

    Example:
      >>> found = plan(None, {"params": {"w": np.ones((8, 4), np.float32)}}, {"data": 4})
      >>> found.total_bytes, found.device_bytes
      (128, 128)
    """

    leaves: tuple[LeafPlan, ...]
    """Every array."""

    total_bytes: int
    """Size of all the arrays, each counted once."""

    device_bytes: int
    """What each device holds."""

    process_bytes: tuple[int, ...]
    """What each process reads: the parts that its devices hold, each counted once."""

    def __str__(self) -> str:
        largest = sorted(self.leaves, key=lambda leaf: -leaf.device_bytes)[:_SHOWN]
        least, most = min(self.process_bytes), max(self.process_bytes)
        read = counted(least, "byte") if least == most else f"{least:,} to {most:,} bytes"
        count = len(self.process_bytes)
        who = "the only process reads" if count == 1 else f"each of {count:,} processes reads"
        return "\n".join(
            [
                f"{counted(len(self.leaves), 'array')}, {counted(self.total_bytes, 'byte')}",
                f"each device holds {counted(self.device_bytes, 'byte')}",
                f"{who} {read}",
                "largest on a device:",
                *(
                    f"  {leaf.device_bytes:,} {'/'.join(leaf.names)} {leaf.partition}"
                    for leaf in largest
                ),
            ]
        )


def plan(
    wanted: Any,
    store: VariableStore | Mapping[str, Any] | str | os.PathLike[str],
    mesh: MeshLike,
    rules: Rules | None = None,
    *,
    processes: int = 1,
    dtype: Any = None,
    **options: Unpack[OpenOptions],
) -> ReadPlan:
    """Tell what loading variables onto a mesh will read and hold, without reading a value.

    Neither the devices nor the memory have to be there: a laptop plans for a cluster.

    Args:
      wanted: the variables, as ``jax.eval_shape(model.init, ...)`` describes them; their boxes
        name the axes. None for all that the store has, whole on each device.
      store: a store, a mapping of variables, or the path of a checkpoint.
      mesh: the mesh, or the sizes of its axes by name.
      rules: which mesh axes the names in the boxes stand for; without, they are mesh axes.
      processes: how many processes the devices are divided among, in the order of the mesh; for a
        `jax.sharding.Mesh` its devices tell.
      dtype: a floating-point dtype that every floating-point array is cast to.
      **options: those of `open_store`, ``item`` or ``root`` for example, where ``store`` is a path.

    Raises:
      StoreOptionsError: there are options, and ``store`` is no path.
      RestoreMismatchError: the store lacks variables that are wanted, or has them in other shapes.
      UnevenShardingError: an axis cannot be split so, or not evenly.
      StoreDtypeError: ``dtype`` is no floating-point dtype.
      MeshSizeError: an axis of the mesh has no devices, or there are more processes than devices.
      StoreError: the store cannot be opened.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> kernel = nn.Partitioned(jax.ShapeDtypeStruct((8, 4), jnp.float32), ("data", None))
      >>> found = plan({"params": {"kernel": kernel}}, {"params": {"kernel": jnp.ones((8, 4))}}, {"data": 4})
      >>> found.device_bytes, found.process_bytes
      (32, (128,))
    """
    with opened_store(store, options) as opened:
        stored = index_store(opened, {})
        partitions = partition_specs(wanted, rules)
        chosen = stored if wanted is None else _chosen(wanted, stored, opened)
    sizes = dict(mesh.shape) if isinstance(mesh, Mesh | AbstractMesh) else dict(mesh)
    owners = _owners(mesh, sizes, processes)
    dtype = floating_dtype(dtype)
    leaves = []
    per_process = [0] * (max(owners) + 1)
    counts: dict[PartitionSpec, list[int]] = {}
    for names, one in chosen.items():
        partition = partitions.get(names, PartitionSpec())
        spec = cast_spec(one.spec, dtype)
        size = nbytes(spec) // _parts(names, getattr(spec, "shape", ()), partition, sizes)
        leaves.append(LeafPlan(names, spec, partition, size))
        if partition not in counts:
            counts[partition] = list(_distinct(partition, sizes, owners))
        for process, count in enumerate(counts[partition]):
            per_process[process] += count * size
    return ReadPlan(
        leaves=tuple(leaves),
        total_bytes=sum(nbytes(leaf.spec) for leaf in leaves),
        device_bytes=sum(leaf.device_bytes for leaf in leaves),
        process_bytes=tuple(per_process),
    )


def mesh_sharding(wanted: Any, mesh: Mesh, rules: Rules | None) -> ShardingLike:
    """Give the sharding of each variable by the names in its box; whole on each device without a box."""
    partitions = partition_specs(wanted, rules)

    def where(names: Names, spec: jax.ShapeDtypeStruct) -> NamedSharding:
        partition = partitions.get(names, PartitionSpec())
        _parts(names, spec.shape, partition, dict(mesh.shape))
        return NamedSharding(mesh, partition)

    return where


def partition_specs(wanted: Any, rules: Rules | None) -> dict[Names, PartitionSpec]:
    """Find the mesh axes of each variable, by its name with and without that of the box."""
    found: dict[Names, PartitionSpec] = {}
    # Not by the class: the boxes of flax name their axes in the same way.
    for keys, node in jax.tree_util.tree_flatten_with_path(wanted, is_leaf=_is_box)[0]:
        names = tuple(map(key_name, keys))
        spec = node.get_partition_spec() if _is_box(node) else get_partition_spec(node)
        partition = spec if isinstance(spec, PartitionSpec) else PartitionSpec()
        if rules is not None:
            partition = nn.logical_to_mesh_axes(tuple(partition), rules) or PartitionSpec()
        found[names] = found[*names, "value"] = partition
    return found


def _is_box(node: Any) -> bool:
    return hasattr(node, "get_partition_spec")


def _as_tuple(axes: Any) -> tuple[str, ...]:
    if axes is None:
        return ()
    return (axes,) if isinstance(axes, str) else tuple(axes)


def _chosen(
    wanted: Any, stored: Mapping[Names, Stored], store: VariableStore
) -> dict[Names, Stored]:
    """Find what is wanted, a box by the name of its variable.

    Raises:
      RestoreMismatchError: something is not stored, or in another shape.
    """
    rows = []
    for keys, node in jax.tree_util.tree_flatten_with_path(wanted, is_leaf=_is_box)[0]:
        names = tuple(map(key_name, keys))
        rows += [Row(names, spec, match(names, stored)) for spec in jax.tree.leaves(node)]
    used = {row.stored.names for row in rows if row.stored is not None}
    unused = {name: one for name, one in stored.items() if one.names not in used}
    missing = [row for row in rows if row.stored is None]
    problems = mismatches(rows, unused, missing, "the plan")
    if problems:
        model = "the wanted variables"
        raise RestoreMismatchError(model, repr(store), problems)
    return {row.names: row.stored for row in rows if row.stored is not None}


def _parts(
    names: Names, shape: Sequence[int], partition: PartitionSpec, sizes: Mapping[str, int]
) -> int:
    """Count the parts that an array is cut into."""
    total = 1
    for axis, axes in enumerate(partition):
        unknown = [name for name in _as_tuple(axes) if name not in sizes]
        count = math.prod(sizes[name] for name in _as_tuple(axes) if name not in unknown)
        reason = ""
        if unknown:
            reason = f"the mesh has no axis {unknown[0]!r}"
        elif axis >= len(shape):
            reason = f"the array has {len(shape)} axes, not {len(partition)}"
        elif shape[axis] % count:
            reason = f"axis {axis} does not divide evenly"
        if reason:
            raise UnevenShardingError(names, tuple(shape), partition, axis, dict(sizes), reason)
        total *= count
    return total


def _owners(mesh: MeshLike, sizes: Mapping[str, int], processes: int) -> list[int]:
    """Tell which process each device of the mesh, in its order, belongs to."""
    if isinstance(mesh, Mesh):
        indices = [device.process_index for device in mesh.devices.flat]
        order = {process: number for number, process in enumerate(sorted(set(indices)))}
        return [order[index] for index in indices]
    devices = math.prod(sizes.values())
    if min(sizes.values(), default=1) < 1 or not 1 <= processes <= devices:
        raise MeshSizeError(sizes, processes)
    return [number * processes // devices for number in range(devices)]


def _distinct(
    partition: PartitionSpec, sizes: Mapping[str, int], owners: Sequence[int]
) -> Iterator[int]:
    """Count, for each process, the different parts that its devices hold."""
    names = list(sizes)
    cut = [names.index(name) for axes in partition for name in _as_tuple(axes)]
    held: list[set[tuple[int, ...]]] = [set() for _ in range(max(owners) + 1)]
    places = itertools.product(*(range(size) for size in sizes.values()))
    for place, owner in zip(places, owners, strict=True):
        held[owner].add(tuple(place[axis] for axis in cut))
    return map(len, held)
