"""Copies values to host memory for a save in the background.

A copy on the device itself would double the memory of the state there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from linen_store.reading.buffers import populated_empty
from linen_store.reading.specs import is_key

__all__ = ["host_copies", "restored_copy"]

_HOST = "pinned_host"
_UNALIGNED_BYTES = 1 << 16
"""Smaller arrays are copied without regard to alignment: to copy them once more takes no time."""


class _HostCopy(NamedTuple):
    """A jax array on CPU devices, as numpy arrays."""

    shape: tuple[int, ...]
    sharding: jax.sharding.Sharding
    shards: list[tuple[np.ndarray[Any, Any], jax.Device]]


class _GlobalCopy(NamedTuple):
    """An array that is spread over processes, as copies of the shards of this process."""

    shape: tuple[int, ...]
    sharding: jax.sharding.Sharding
    dtype: Any
    shards: list[Any]
    key_impl: str | None
    """The implementation of the generator, if the array is the data of PRNG keys."""


def host_copies(leaves: Sequence[Any]) -> list[Any]:
    """Copy the arrays, which the caller may change, delete or donate; see `restored_copy`.

    Arrays on an accelerator, and those that are still being computed, are copied when they are ready. The caller does
    not wait for them.
    """
    copies = [leaf.copy() if isinstance(leaf, np.ndarray) else leaf for leaf in leaves]
    moved: list[int] = []
    places: dict[jax.sharding.Sharding, _Place] = {}  # most arrays of a model share their sharding
    for index, leaf in enumerate(leaves):
        if not isinstance(leaf, jax.Array):
            continue
        sharding = leaf.sharding
        place = places.get(sharding)
        if place is None:
            place = places[sharding] = _place(sharding)
        if not place.is_local:
            copies[index] = _global_copy(leaf)
        elif place.is_cpu and not is_key(leaf) and leaf.is_ready():  # type: ignore[attr-defined]
            copies[index] = _cpu_copy(leaf, sharding, place)
        elif place.has_host_memory and sharding.memory_kind != _HOST:
            moved.append(index)
        else:
            copies[index] = leaf.copy()
    on_host = jax.device_put(
        [leaves[index] for index in moved],
        [leaves[index].sharding.with_memory_kind(_HOST) for index in moved],
        may_alias=False,
    )
    for index, copy in zip(moved, on_host, strict=True):
        copies[index] = copy
    return copies


def restored_copy(copy: Any) -> Any:
    """Convert the copy of a jax array back to one, without another copy.

    Example:
      >>> (copy,) = host_copies([jnp.arange(3)])
      >>> restored_copy(copy)
      Array([0, 1, 2], dtype=int32)
    """
    if isinstance(copy, _GlobalCopy):
        return _restored_global(copy)
    if not isinstance(copy, _HostCopy):
        return copy
    shards = [jax.device_put(buffer, device) for buffer, device in copy.shards]
    return jax.make_array_from_single_device_arrays(copy.shape, copy.sharding, shards)


class _Place(NamedTuple):
    """The memory of an array."""

    is_local: bool
    """True if all its devices are those of this process."""

    device: jax.Device | None
    """The device, if it is only one."""

    is_cpu: bool
    """True for the default memory of CPU devices."""

    has_host_memory: bool
    """True if its devices also have memory that is pinned on the host."""


def _place(sharding: jax.sharding.Sharding) -> _Place:
    if not sharding.is_fully_addressable:
        return _Place(is_local=False, device=None, is_cpu=False, has_host_memory=False)
    device: Any = next(iter(sharding.device_set))
    usual = (None, device.default_memory().kind)
    kinds = {memory.kind for memory in device.addressable_memories()}
    is_cpu = device.platform == "cpu" and sharding.memory_kind in usual
    one = device if len(sharding.device_set) == 1 else None
    return _Place(True, one, is_cpu, _HOST in kinds)


def _global_copy(leaf: jax.Array) -> _GlobalCopy:
    is_keys = is_key(leaf)
    data = jax.random.key_data(leaf) if is_keys else leaf
    shards = host_copies([shard.data for shard in data.addressable_shards])
    impl = str(jax.random.key_impl(leaf)) if is_keys else None
    return _GlobalCopy(data.shape, data.sharding, data.dtype, shards, impl)


def _restored_global(copy: _GlobalCopy) -> jax.Array:
    shards = [restored_copy(shard) for shard in copy.shards]
    kinds = {shard.sharding.memory_kind for shard in shards}
    if len(kinds) > 1:  # some were still being computed
        shards = jax.device_put(shards, [one.sharding.with_memory_kind(_HOST) for one in shards])
    sharding = copy.sharding
    if shards:
        sharding = sharding.with_memory_kind(shards[0].sharding.memory_kind)
    array = jax.make_array_from_single_device_arrays(copy.shape, sharding, shards, dtype=copy.dtype)
    if copy.key_impl is None:
        return array
    keys: jax.Array = jax.random.wrap_key_data(array, impl=copy.key_impl)
    return keys


def _cpu_copy(leaf: jax.Array, sharding: jax.sharding.Sharding, place: _Place) -> _HostCopy:
    if place.device is not None and 0 < leaf.nbytes < _UNALIGNED_BYTES:
        return _HostCopy(leaf.shape, sharding, [(np.array(leaf), place.device)])
    shards = []
    for shard in leaf.addressable_shards:
        buffer = populated_empty(shard.data.shape, leaf.dtype)
        np.copyto(buffer, shard.data)
        shards.append((buffer, shard.device))
    return _HostCopy(leaf.shape, sharding, shards)
