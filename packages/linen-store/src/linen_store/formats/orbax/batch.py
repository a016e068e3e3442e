"""Reads many arrays in one batch, in the parts that devices need; checks, casts and places them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from linen_store.formats.orbax.arrays import ArrayFolder, ArrayMetadata, ArrayPart, BadArrayError
from linen_store.formats.orbax.chunks import Chunk, Regions, chunk_crc, covers, whole
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


class Wanted(NamedTuple):
    """One array to read."""

    name: str
    kind: Kind
    metadata: ArrayMetadata
    spec: Any
    """The value to make: a `jax.ShapeDtypeStruct`, with a sharding or without."""

    key_impl: str | None
    """The implementation of the generator, if the array is the data of PRNG keys."""

    chunks: Sequence[Chunk]
    """The CRC-32s that its values must have."""


def read_batch(arrays: ArrayFolder, wanted: Sequence[Wanted]) -> list[Any]:
    """Read arrays: first all are opened, then all are read.

    Arrays that are cast are read a few at a time into the same memory: they are never all in memory twice.

    Raises:
      BadArrayError: an array cannot be read, or differs from the one that was saved.
    """
    opened = arrays.open([one.name for one in wanted], [one.metadata for one in wanted])
    regions = _regions(wanted)
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


def _regions(wanted: Sequence[Wanted]) -> list[list[Bounds]]:
    """List for each array the different regions that devices of this process hold."""
    # Most arrays of a model share their shape and sharding with others.
    found: dict[Any, list[Bounds]] = {}
    regions = []
    for one in wanted:
        sharding = None if one.key_impl is not None else getattr(one.spec, "sharding", None)
        kind = one.metadata.shape, sharding
        if kind not in found:
            shape, _ = kind
            found[kind] = [whole(shape)] if sharding is None else local_regions(shape, sharding)
        regions.append(found[kind])
    return regions


def _slices(one: Wanted, bounds: Bounds) -> tuple[slice, ...]:
    """Return the slices of a region; empty for the whole array."""
    is_whole = bounds == whole(one.metadata.shape)
    return () if is_whole else tuple(slice(*bound) for bound in bounds)


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
    """Compare the CRC-32s of the chunks that were read completely."""
    checked = [
        (index, chunk, regions)
        for index, one, regions in zip(group, members, found, strict=True)
        for chunk in one.chunks
        if covers(regions, chunk.bounds)
    ]
    size = sum(buffer.nbytes for regions in found for buffer in regions.values())
    mapped = map_threads if size >= _THREADED_CRC_BYTES else map
    crcs = mapped(_crc, [(chunk, regions) for _, chunk, regions in checked])
    for (index, chunk, _), crc in zip(checked, crcs, strict=True):
        if crc != chunk.crc:
            reason = f"the CRC-32 of its values is {crc:08x}, expected {chunk.crc:08x}"
            raise BadArrayError(index, reason)


def _crc(read: tuple[Chunk, Regions]) -> int:
    chunk, regions = read
    return chunk_crc(chunk.bounds, regions)


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
