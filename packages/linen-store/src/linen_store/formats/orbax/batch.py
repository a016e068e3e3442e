"""One batched read of many arrays, in the parts that devices need: checked, cast, put in place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_store.formats.orbax.arrays import ArrayFolder, ArrayMetadata, ArrayPart, BadArrayError
from linen_store.formats.orbax.checksums import crc32, crc_of_array
from linen_store.reading.buffers import Scratch, cast, is_canonical, map_threads
from linen_store.reading.specs import Bounds, local_regions, region_bounds
from linen_store.reading.tree import Kind

__all__ = ["Wanted", "read_batch"]

_GROUP_BYTES = 1 << 30
"""How much is on its way through host memory at once, to devices that have their own."""

_CAST_BYTES = 1 << 27
"""How much is read at once of arrays that are cast."""

_THREADED_CRC_BYTES = 1 << 22

_BLOCK_BYTES = 1 << 20
"""How much of an array is put together at once, to compute its CRC-32: it stays in the cache."""

Regions: TypeAlias = dict[Bounds, np.ndarray[Any, Any]]
"""What was read of an array, each region once, however many devices hold it."""


class Wanted(NamedTuple):
    """One array that is asked for."""

    name: str
    kind: Kind
    metadata: ArrayMetadata
    spec: Any
    """What it shall become: a `jax.ShapeDtypeStruct`, with a sharding or without."""

    key_impl: str | None
    """The generator's implementation, where the array is the data of PRNG keys."""

    crc: int | None
    """The CRC-32 that its values shall have."""


def read_batch(arrays: ArrayFolder, wanted: Sequence[Wanted]) -> list[Any]:
    """Read arrays, all opens first and then all reads.

    Arrays that are cast are read a few at a time into the same memory: they are never all in
    memory twice.

    Raises:
      BadArrayError: an array cannot be read, or is not what was saved.
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
            for index, value in zip(group, _finished(members, found), strict=True):
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
    """Say which part of an array a region is; nothing for all of it."""
    whole = all(bound == (0, size) for bound, size in zip(bounds, one.metadata.shape, strict=True))
    return () if whole else tuple(slice(*bound) for bound in bounds)


def _groups(
    chosen: Sequence[int], wanted: Sequence[Wanted], regions: Sequence[list[Bounds]], limit: int
) -> Iterator[list[int]]:
    """Divide arrays, given by their indices, into groups of about so many bytes."""
    group: list[int] = []
    size = 0
    for index in chosen:
        group.append(index)
        size += _elements(regions[index]) * wanted[index].metadata.dtype.itemsize
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group


def _elements(regions: Iterable[Bounds]) -> int:
    return sum(math.prod(stop - start for start, stop in bounds) for bounds in regions)


def _check(group: Sequence[int], members: Sequence[Wanted], found: Sequence[Regions]) -> None:
    """Compare CRC-32s, of the arrays that were read whole."""
    checked = [
        (index, one, regions)
        for index, one, regions in zip(group, members, found, strict=True)
        if one.crc is not None and _elements(regions) == math.prod(one.metadata.shape)
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
    # Put the regions together a few rows at a time: the array is never twice in memory.
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
                place = (slice(low - start, high - start), *(slice(*bound) for bound in rest))
                block[place] = buffer[low - first : high - first]
        crc = crc32(block.reshape(-1).view(np.uint8).data, crc)
    return crc


def _finished(members: Sequence[Wanted], found: Sequence[Regions]) -> list[Any]:
    """Cast what was read and put it where it belongs; what goes to one device in one call."""
    values: list[Any] = []
    unplaced: list[tuple[int, Any]] = []
    for one, regions in zip(members, found, strict=True):
        if not _on_device(one):
            values.append(_on_host(one, *regions.values()))
        elif one.spec.sharding is not None and one.key_impl is None:
            values.append(_sharded(one, regions))
        else:
            unplaced.append((len(values), next(iter(regions.values()))))
            values.append(None)
    buffers = [cast(buffer, _dtype(members[index])) for index, buffer in unplaced]
    placed = jax.device_put(buffers) if buffers else ()
    for (index, _), array in zip(unplaced, placed, strict=True):
        values[index] = _with_key(members[index], array)
    return values


def _dtype(one: Wanted) -> Any:
    """Give the dtype on the device: of keys, that of their data."""
    return one.metadata.dtype if one.key_impl is not None else one.spec.dtype


def _on_device(one: Wanted) -> bool:
    if one.key_impl is not None:
        return True
    wants = one.kind == "array" or (one.kind == "numpy" and one.spec.sharding is not None)
    return wants and is_canonical(one.spec.dtype)


def _on_host(one: Wanted, buffer: np.ndarray[Any, Any]) -> Any:
    if one.kind == "scalar":
        return buffer.item()
    value = cast(buffer, one.spec.dtype)
    # The store's cache gives the same array to every reader.
    value.flags.writeable = False
    return value


def _sharded(one: Wanted, regions: Regions) -> jax.Array:
    shape, dtype = one.metadata.shape, _dtype(one)
    parts = {bounds: cast(buffer, dtype) for bounds, buffer in regions.items()}

    def region(index: Any) -> np.ndarray[Any, Any]:
        return parts[region_bounds(index, shape)]

    whole: jax.Array = jax.make_array_from_callback(shape, one.spec.sharding, region, dtype=dtype)
    return whole


def _with_key(one: Wanted, data: jax.Array) -> jax.Array:
    if one.key_impl is None:
        return data
    keys: jax.Array = jax.random.wrap_key_data(data, impl=one.key_impl)
    placed: jax.Array = (
        keys if one.spec.sharding is None else jax.device_put(keys, one.spec.sharding)
    )
    return placed
