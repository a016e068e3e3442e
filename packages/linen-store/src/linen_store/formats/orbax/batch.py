"""Reads many arrays in one batch, in the parts that devices need; checks, casts and places them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_store.formats.orbax.arrays import ArrayFolder, ArrayMetadata, ArrayPart, BadArrayError
from linen_store.formats.orbax.checksums import crc32, crc_of_array
from linen_store.reading.buffers import Scratch, cast, map_threads
from linen_store.reading.device import (
    ForDevice,
    is_put_on_device,
    put_at_once,
    read_only,
    sharded_array,
)
from linen_store.reading.specs import Bounds, count_elements, local_regions
from linen_store.reading.tree import Kind

__all__ = ["Wanted", "read_batch"]

_GROUP_BYTES = 1 << 30
"""Bytes in host memory at once on the way to devices that have their own memory."""

_CAST_BYTES = 1 << 27
"""Bytes that are read at once of arrays that are cast."""

_THREADED_CRC_BYTES = 1 << 22

_BLOCK_BYTES = 1 << 20
"""Bytes of an array that are joined at once to compute its CRC-32: they stay in the processor's cache."""

Regions: TypeAlias = dict[Bounds, np.ndarray[Any, Any]]
"""The regions of an array that were read, each once, however many devices hold it."""


class Wanted(NamedTuple):
    """One array to read."""

    name: str
    kind: Kind
    metadata: ArrayMetadata
    spec: Any
    """The value to make: a `jax.ShapeDtypeStruct`, with a sharding or without."""

    key_impl: str | None
    """The implementation of the generator, if the array is the data of PRNG keys."""

    crc: int | None
    """The CRC-32 that its values must have."""


def read_batch(arrays: ArrayFolder, wanted: Sequence[Wanted]) -> list[Any]:
    """Read arrays: first all are opened, then all are read.

    Arrays that are cast are read a few at a time into the same memory: they are never all in memory twice.

    Raises:
      BadArrayError: an array cannot be read, or differs from the one that was saved.
    """
    opened = arrays.open([one.name for one in wanted], [one.metadata for one in wanted])
    regions = [_regions(one) for one in wanted]
    values: list[Any] = [None] * len(wanted)
    for is_cast, limit in ((False, _GROUP_BYTES), (True, _CAST_BYTES)):
        scratch = Scratch() if is_cast else None
        chosen = [index for index, one in enumerate(wanted) if _is_cast(one) is is_cast]
        for group in _groups(chosen, wanted, regions, limit):
            members = [wanted[index] for index in group]
            parts = [
                ArrayPart(index, opened[index], one.metadata, _slices(one, bounds))
                for index, one in zip(group, members, strict=True)
                for bounds in regions[index]
            ]
            read = arrays.read(parts) if scratch is None else arrays.read(parts, scratch.empty)
            buffers = iter(read)
            found = [{bounds: next(buffers) for bounds in regions[index]} for index in group]
            _check(group, members, found)
            for index, value in zip(group, _placed(members, found), strict=True):
                values[index] = value
            if scratch is not None:
                scratch.reuse()
    return values


def _is_cast(one: Wanted) -> bool:
    return one.key_impl is None and one.spec.dtype != one.metadata.dtype


def _regions(one: Wanted) -> list[Bounds]:
    """List the different regions that devices of this process hold."""
    shape = one.metadata.shape
    sharding = getattr(one.spec, "sharding", None)
    if sharding is None or one.key_impl is not None:
        return [tuple((0, size) for size in shape)]
    return local_regions(shape, sharding)


def _slices(one: Wanted, bounds: Bounds) -> tuple[slice, ...]:
    """Return the slices of a region; empty for the whole array."""
    whole = all(bound == (0, size) for bound, size in zip(bounds, one.metadata.shape, strict=True))
    return () if whole else tuple(slice(*bound) for bound in bounds)


def _groups(
    chosen: Sequence[int], wanted: Sequence[Wanted], regions: Sequence[list[Bounds]], limit: int
) -> Iterator[list[int]]:
    """Divide arrays, given by their indices, into groups of about ``limit`` bytes."""
    group: list[int] = []
    size = 0
    for index in chosen:
        group.append(index)
        size += count_elements(regions[index]) * wanted[index].metadata.dtype.itemsize
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check(group: Sequence[int], members: Sequence[Wanted], found: Sequence[Regions]) -> None:
    """Compare the CRC-32s of the arrays that were read completely."""
    checked = [
        (index, one, regions)
        for index, one, regions in zip(group, members, found, strict=True)
        if one.crc is not None and count_elements(regions) == math.prod(one.metadata.shape)
    ]
    size = sum(buffer.nbytes for _, _, regions in checked for buffer in regions.values())
    mapped = map_threads if size >= _THREADED_CRC_BYTES else map
    crcs = mapped(_crc, [(one, regions) for _, one, regions in checked])
    for (index, one, _), crc in zip(checked, crcs, strict=True):
        if crc != one.crc:
            raise BadArrayError(
                index, f"the CRC-32 of its values is {crc:08x}, expected {one.crc:08x}"
            )


def _crc(read: tuple[Wanted, Regions]) -> int:
    one, regions = read
    if len(regions) == 1:
        return crc_of_array(*regions.values())
    # The regions are joined a few rows at a time: the array is never in memory twice.
    shape, dtype = one.metadata.shape, one.metadata.dtype
    rows = max(1, _BLOCK_BYTES // (math.prod(shape[1:]) * dtype.itemsize))
    scratch = np.empty((min(rows, shape[0]), *shape[1:]), dtype)
    crc = 0
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        block = scratch[: stop - start]
        for ((first, last), *rest), buffer in regions.items():
            low, high = max(start, first), min(stop, last)
            if low < high:
                index = (slice(low - start, high - start), *(slice(*bound) for bound in rest))
                block[index] = buffer[low - first : high - first]
        crc = crc32(block.reshape(-1).view(np.uint8).data, crc)
    return crc


def _placed(members: Sequence[Wanted], found: Sequence[Regions]) -> list[Any]:
    """Cast and place the arrays of a group; those for one device in one call."""
    values = put_at_once(
        [_cast_value(one, regions) for one, regions in zip(members, found, strict=True)]
    )
    return [
        value if one.key_impl is None else _keys(one, value)
        for one, value in zip(members, values, strict=True)
    ]


def _cast_value(one: Wanted, regions: Regions) -> Any:
    first = next(iter(regions.values()))
    if one.key_impl is not None:
        return ForDevice(first)
    if one.kind == "scalar":
        return first.item()
    if not is_put_on_device(one.kind, one.spec):
        return read_only(cast(first, one.spec.dtype))
    if one.spec.sharding is not None:
        return sharded_array(one.spec, regions.__getitem__)
    return ForDevice(cast(first, one.spec.dtype))


def _keys(one: Wanted, data: jax.Array) -> jax.Array:
    keys: jax.Array = jax.random.wrap_key_data(data, impl=one.key_impl)
    if one.spec.sharding is None:
        return keys
    placed: jax.Array = jax.device_put(keys, one.spec.sharding)
    return placed
