"""The sharding of each variable, and the bytes that each process reads and each device holds, from metadata alone."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, Unpack

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core import VariableStore
from linen_core.meta import get_partition_spec
from linen_store._texts import counted
from linen_store.errors import MeshSizeError, RestoreMismatchError, UnevenShardingError
from linen_store.formats.opening import opened_store
from linen_store.reading.options import OpenOptions, VariableSharding
from linen_store.reading.specs import cast_spec, floating_dtype, key_name, nbytes
from linen_store.reading.stored import Names, Stored
from linen_store.restoring.matching import Row, index_store, match, mismatches

__all__ = [
    "LeafPlan",
    "MeshLike",
    "ModelSharding",
    "ReadPlan",
    "Rules",
    "axis_names",
    "mesh_sharding",
    "partition_specs",
    "plan",
    "sharding_of",
]

ModelSharding: TypeAlias = jax.sharding.Sharding | VariableSharding | Mapping[str, Any] | None
"""One sharding for all, a function of a variable's names and spec, or a tree like the variables."""

Rules: TypeAlias = Sequence[tuple[str, str | tuple[str, ...] | None]]
"""The mesh axis, or axes, of each logical axis name (see `linen_core.logical_to_mesh_axes`)."""

MeshLike: TypeAlias = Mesh | AbstractMesh | Mapping[str, int]
"""A mesh, or the sizes of its axes by name."""

_LARGEST = 10


@dataclasses.dataclass(frozen=True)
class LeafPlan:
    """The placement of one array on the devices.

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
    """The mesh axes that the axes of the array are split over."""

    device_bytes: int
    """The bytes of it that each device holds."""


@dataclasses.dataclass(frozen=True)
class ReadPlan:
    """The cost of loading variables onto a mesh.

    Example:
      >>> found = plan(None, {"params": {"w": np.ones((8, 4), np.float32)}}, {"data": 4})
      >>> found.total_bytes, found.device_bytes
      (128, 128)
    """

    leaves: tuple[LeafPlan, ...]
    """Every array."""

    total_bytes: int
    """Size of all arrays, each counted once."""

    device_bytes: int
    """The bytes that each device holds."""

    process_bytes: tuple[int, ...]
    """The bytes that each process reads: the parts that its devices hold, each counted once."""

    def __str__(self) -> str:
        largest = sorted(self.leaves, key=lambda leaf: -leaf.device_bytes)[:_LARGEST]
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
    """Compute the cost of loading variables onto a mesh, without reading a value.

    The devices of the mesh need not exist: a laptop can plan for a cluster.

    Args:
      wanted: the variables, as ``jax.eval_shape(model.init, ...)`` describes them; their boxes name the axes. None for
        everything in the store, whole on each device.
      store: a store, a mapping of variables, or the path of a checkpoint.
      mesh: the mesh, or the sizes of its axes by name.
      rules: the mesh axes of the names in the boxes; by default, the names are mesh axes.
      processes: the number of processes that the devices are divided among, in the order of the mesh. A
        `jax.sharding.Mesh` has this information in its devices.
      dtype: a floating-point dtype that every floating-point array is cast to.
      **options: options of `open_store`, ``item`` or ``root`` for example, if ``store`` is a path.

    Raises:
      StoreOptionsError: there are options, and ``store`` is not a path.
      RestoreMismatchError: the store lacks wanted variables, or has them with other shapes.
      UnevenShardingError: an axis cannot be split evenly over its mesh axes.
      StoreDtypeError: ``dtype`` is not a floating-point dtype.
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


def mesh_sharding(
    wanted: Any, mesh: Mesh, rules: Rules | None
) -> Callable[[Names, Any], NamedSharding]:
    """Return a function from each variable to its sharding: by the names in its box, else whole on each device."""
    partitions = partition_specs(wanted, rules)

    def where(names: Names, spec: jax.ShapeDtypeStruct) -> NamedSharding:
        partition = partitions.get(names, PartitionSpec())
        _parts(names, spec.shape, partition, dict(mesh.shape))
        return NamedSharding(mesh, partition)

    return where


def sharding_of(name: Names, spec: Any, sharding: ModelSharding) -> jax.sharding.Sharding | None:
    """Return the sharding of one variable; None for the default device."""
    if sharding is None or isinstance(sharding, jax.sharding.Sharding):
        return sharding
    if callable(sharding):
        return sharding(name, spec)
    node: Any = sharding
    for part in name:
        # The variables may be in boxes that the tree of shardings does not have.
        if isinstance(node, jax.sharding.Sharding):
            break
        node = _child(node, part)
    return node if isinstance(node, jax.sharding.Sharding) else None


def _child(node: Any, name: str) -> Any:
    """Take one step down a tree of shardings; None if it has no such child."""
    if isinstance(node, Mapping):
        found = {str(key): child for key, child in node.items()}
        return found.get(name)
    if isinstance(node, tuple | list) and name.isdecimal():
        return node[int(name)] if int(name) < len(node) else None
    return getattr(node, name, None)


def partition_specs(wanted: Any, rules: Rules | None) -> dict[Names, PartitionSpec]:
    """Return the mesh axes of each variable, by its names with and without that of the box."""
    found: dict[Names, PartitionSpec] = {}
    # Boxes are recognised by this method, not by their class: those of flax have it too.
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


def axis_names(axes: Any) -> tuple[str, ...]:
    """Return the names of mesh axes, of which a partition has none, one or several for an axis of an array."""
    if axes is None:
        return ()
    return (axes,) if isinstance(axes, str) else tuple(axes)


def _chosen(
    wanted: Any, stored: Mapping[Names, Stored], store: VariableStore
) -> dict[Names, Stored]:
    """Return the stored array of each wanted variable; a box has the name of its variable.

    Raises:
      RestoreMismatchError: a variable is not stored, or has another shape.
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
    """Count the parts that an array is split into."""
    total = 1
    for axis, axes in enumerate(partition):
        unknown = [name for name in axis_names(axes) if name not in sizes]
        count = math.prod(sizes[name] for name in axis_names(axes) if name not in unknown)
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
    """Return the process of each device of the mesh, in the order of the mesh."""
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
    cut = [names.index(name) for axes in partition for name in axis_names(axes)]
    held: list[set[tuple[int, ...]]] = [set() for _ in range(max(owners) + 1)]
    places = itertools.product(*(range(size) for size in sizes.values()))
    for place, owner in zip(places, owners, strict=True):
        held[owner].add(tuple(place[axis] for axis in cut))
    return map(len, held)
