"""CRC-32s of parts of arrays: a process that reads only its part of an array checks that part.

A chunk is a region of one array, with the CRC-32 of its values in row-major order. The chunks of an array are disjoint.
Large chunks are blocks of rows, which readers with another sharding can check too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_store.formats.orbax.checksums import crc32, crc_of_array
from linen_store.reading.specs import Bounds, region_bounds

__all__ = ["Chunk", "Regions", "chunk_crc", "covers", "own_chunks", "whole"]

_ROW_BLOCKS = 8
_DIVIDED_BYTES = 1 << 22
"""Chunks of at least this size are divided into blocks of rows."""

_SCRATCH_BYTES = 1 << 20
"""Bytes of a chunk that are joined at once to compute its CRC-32: they stay in the processor's cache."""

Regions: TypeAlias = Mapping[Bounds, np.ndarray[Any, Any]]
"""Disjoint regions of an array, and their values."""


class Chunk(NamedTuple):
    """A region of an array, and the CRC-32 of its values."""

    bounds: Bounds
    crc: int


def whole(shape: tuple[int, ...]) -> Bounds:
    """Return the bounds of a whole array.

    Example:
      >>> whole((2, 3))
      ((0, 2), (0, 3))
    """
    return tuple((0, size) for size in shape)


def own_chunks(array: Any) -> list[Chunk]:
    """Compute the CRC-32s of the parts of an array that this process saves.

    Of replicas in several processes, one process saves one.

    Example:
      >>> own_chunks(np.zeros((2, 3), np.float32))
      [Chunk(bounds=((0, 2), (0, 3)), crc=2747386400)]
    """
    return [
        Chunk(bounds, crc_of_array(block))
        for region, values in _own_regions(array)
        for bounds, block in _row_blocks(region, values)
    ]


def _own_regions(array: Any) -> Iterator[tuple[Bounds, np.ndarray[Any, Any]]]:
    if not isinstance(array, jax.Array) or len(array.sharding.device_set) == 1:
        yield whole(array.shape), np.asarray(array)
        return
    for shard in array.addressable_shards:
        if shard.replica_id == 0:
            yield region_bounds(shard.index, array.shape), np.asarray(shard.data)


def _row_blocks(
    region: Bounds, values: np.ndarray[Any, Any]
) -> Iterator[tuple[Bounds, np.ndarray[Any, Any]]]:
    if values.nbytes < _DIVIDED_BYTES or values.shape[0] % _ROW_BLOCKS:
        yield region, values
        return
    rows = values.shape[0] // _ROW_BLOCKS
    (first, _), *rest = region
    for start in range(0, values.shape[0], rows):
        yield ((first + start, first + start + rows), *rest), values[start : start + rows]


def covers(regions: Regions, bounds: Bounds) -> bool:
    """Return whether disjoint regions contain every element of a region.

    Example:
      >>> left, right = np.zeros((2, 1)), np.zeros((2, 2))
      >>> covers({((0, 2), (0, 1)): left, ((0, 2), (1, 3)): right}, ((0, 1), (0, 3)))
      True
    """
    if bounds in regions:
        return True
    return sum(_shared(bounds, region) for region in regions) == _shared(bounds, bounds)


def _shared(one: Bounds, other: Bounds) -> int:
    """Count the elements that two regions share."""
    return math.prod(
        max(0, min(stop, end) - max(start, begin))
        for (start, stop), (begin, end) in zip(one, other, strict=True)
    )


def chunk_crc(bounds: Bounds, regions: Regions) -> int:
    """Compute the CRC-32 of a chunk that disjoint regions cover.

    The regions are joined a few rows at a time: the chunk is never in memory twice.
    """
    if bounds in regions:
        return crc_of_array(regions[bounds])
    dtype = next(iter(regions.values())).dtype
    (first, last), *others = bounds
    widths = [stop - start for start, stop in others]
    rows = min(max(1, _SCRATCH_BYTES // (math.prod(widths) * dtype.itemsize)), last - first)
    scratch = np.empty((rows, *widths), dtype)
    crc = 0
    for start in range(first, last, rows):
        block: Bounds = ((start, min(start + rows, last)), *others)
        joined = scratch[: block[0][1] - start]
        for region, values in regions.items():
            if _shared(block, region):
                joined[_inside(block, region, block)] = values[_inside(block, region, region)]
        crc = crc32(joined.reshape(-1).view(np.uint8).data, crc)
    return crc


def _inside(one: Bounds, other: Bounds, origin: Bounds) -> tuple[slice, ...]:
    """Return the slices of the part that two regions share, in an array whose region is ``origin``."""
    return tuple(
        slice(max(start, begin) - zero, min(stop, end) - zero)
        for (start, stop), (begin, end), (zero, _) in zip(one, other, origin, strict=True)
    )
