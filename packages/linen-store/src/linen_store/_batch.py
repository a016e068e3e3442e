"""One batched read of many arrays, in the parts that devices need: checked, cast, put in place."""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from linen_store._arrays import ArrayFolder, ArrayMetadata, ArrayPart, BadArrayError
from linen_store._buffers import is_canonical, map_threads, put
from linen_store._checksums import crc_of_array
from linen_store._tree import Kind

__all__ = ["Wanted", "read_batch"]

_GROUP_BYTES = 1 << 30
"""How much is on its way through host memory at once, to devices that have their own."""

_THREADED_CRC_BYTES = 1 << 22

Slices = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class Wanted:
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


@dataclasses.dataclass
class _Part:
    """One region of an array, read once, however many devices hold it."""

    index: Slices
    """Which region; empty for all of it."""

    devices: list[Any] = dataclasses.field(default_factory=list)
    buffer: Any = None
    """Its values, once they are read."""


def read_batch(arrays: ArrayFolder, wanted: Sequence[Wanted]) -> list[Any]:
    """Read arrays, all opens first and then all reads.

    Raises:
      BadArrayError: an array cannot be read, or is not what was saved.
    """
    opened = arrays.open([one.name for one in wanted], [one.metadata for one in wanted])
    values: list[Any] = []
    for group in _groups(wanted):
        members = [wanted[index] for index in group]
        parts = [_parts(one) for one in members]
        buffers = iter(
            arrays.read(
                [
                    ArrayPart(index, opened[index], wanted[index].metadata, part.index)
                    for index, some in zip(group, parts, strict=True)
                    for part in some
                ]
            )
        )
        for some in parts:
            for part in some:
                part.buffer = next(buffers)
        _check(group, members, parts)
        values.extend(_finished(members, parts))
    return values


def _groups(wanted: Sequence[Wanted]) -> Iterator[range]:
    start = size = 0
    for index, one in enumerate(wanted):
        size += math.prod(one.metadata.shape) * one.metadata.dtype.itemsize
        if size >= _GROUP_BYTES:
            yield range(start, index + 1)
            start, size = index + 1, 0
    if start < len(wanted):
        yield range(start, len(wanted))


def _parts(one: Wanted) -> list[_Part]:
    shape = one.metadata.shape
    sharding = getattr(one.spec, "sharding", None)
    if sharding is None or one.key_impl is not None:
        return [_Part(())]
    parts: dict[tuple[tuple[int, int], ...], _Part] = {}
    for device, index in sharding.addressable_devices_indices_map(tuple(shape)).items():
        bounds = tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True))
        if bounds not in parts:
            whole = all(bound == (0, size) for bound, size in zip(bounds, shape, strict=True))
            parts[bounds] = _Part(() if whole else tuple(slice(*bound) for bound in bounds))
        parts[bounds].devices.append(device)
    return list(parts.values())


def _check(group: range, members: Sequence[Wanted], parts: Sequence[list[_Part]]) -> None:
    """Compare CRC-32s, of the arrays that were read whole."""
    checked = [
        (index, one, some)
        for index, one, some in zip(group, members, parts, strict=True)
        if one.crc is not None and _covers(one, some)
    ]
    if not checked:
        return
    size = sum(part.buffer.nbytes for _, _, some in checked for part in some)
    pairs = [(one, some) for _, one, some in checked]
    mapped = map_threads if size >= _THREADED_CRC_BYTES else map
    crcs = list(mapped(_crc, pairs))
    for (index, one, _), crc in zip(checked, crcs, strict=True):
        if crc != one.crc:
            raise BadArrayError(
                index, f"the CRC-32 of its values is {crc:08x}, expected {one.crc:08x}"
            )


def _covers(one: Wanted, some: Sequence[_Part]) -> bool:
    return sum(part.buffer.size for part in some) == math.prod(one.metadata.shape)


def _crc(read: tuple[Wanted, Sequence[_Part]]) -> int:
    one, some = read
    if len(some) == 1:
        return crc_of_array(some[0].buffer)
    # Put the parts together a few rows at a time: the array is never twice in memory.
    shape, dtype = one.metadata.shape, one.metadata.dtype
    row_bytes = max(1, math.prod(shape[1:]) * dtype.itemsize)
    rows = max(1, (1 << 20) // row_bytes)
    scratch = np.empty((min(rows, shape[0]), *shape[1:]), dtype)
    crc = 0
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        block = scratch[: stop - start]
        for part in some:
            first, *rest = part.index
            low, high = max(start, first.start), min(stop, first.stop)
            if low < high:
                taken = part.buffer[low - first.start : high - first.start]
                block[(slice(low - start, high - start), *rest)] = taken
        crc = zlib.crc32(block.reshape(-1).view(np.uint8).data, crc)
    return crc


def _finished(members: Sequence[Wanted], parts: Sequence[list[_Part]]) -> list[Any]:
    """Cast what was read and put it where it belongs, all transfers in one call."""
    buffers: list[Any] = []
    devices: list[Any] = []
    for one, some in zip(members, parts, strict=True):
        for part in some if _on_device(one) else ():
            cast = part.buffer
            if one.key_impl is None and cast.dtype != one.spec.dtype:
                cast = cast.astype(one.spec.dtype)
            for device in part.devices or [None]:
                buffers.append(cast)
                devices.append(device)
    placed = iter(put(buffers, devices) if buffers else ())
    return [
        _assemble(one, [next(placed) for part in some for _ in part.devices or [None]])
        if _on_device(one)
        else _on_host(one, some[0].buffer)
        for one, some in zip(members, parts, strict=True)
    ]


def _on_device(one: Wanted) -> bool:
    if one.key_impl is not None:
        return True
    wants = one.kind == "array" or (one.kind == "numpy" and one.spec.sharding is not None)
    return wants and is_canonical(one.spec.dtype)


def _on_host(one: Wanted, buffer: np.ndarray[Any, Any]) -> Any:
    if one.kind == "scalar":
        return buffer.item()
    value = buffer.astype(one.spec.dtype, copy=False)
    # The store's cache gives the same array to every reader.
    value.flags.writeable = False
    return value


def _assemble(one: Wanted, pieces: list[jax.Array]) -> jax.Array:
    sharding = one.spec.sharding
    if one.key_impl is not None:
        keys: jax.Array = jax.random.wrap_key_data(pieces[0], impl=one.key_impl)
        placed: jax.Array = keys if sharding is None else jax.device_put(keys, sharding)
        return placed
    if sharding is None:
        return pieces[0]
    whole: jax.Array = jax.make_array_from_single_device_arrays(
        one.spec.shape, sharding, pieces, dtype=one.spec.dtype
    )
    return whole
