"""Moves host arrays to devices, each with the dtype and sharding of its spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_store.reading.buffers import aligned_empty, cast, cast_into, is_canonical, map_threads
from linen_store.reading.file_array import FileArray
from linen_store.reading.remote_array import RemoteArray
from linen_store.reading.specs import Bounds, array_spec, region_bounds
from linen_store.reading.tree import Kind, Leaf

__all__ = [
    "ForDevice",
    "HostArray",
    "is_put_on_device",
    "place",
    "put_at_once",
    "read_only",
    "sharded_array",
    "value_spec",
]

HostArray: TypeAlias = np.ndarray[Any, Any] | FileArray

_LARGE_BYTES = 1 << 20
_REQUESTS = 16
"""Requests to a server at the same time."""


class ForDevice(NamedTuple):
    """A buffer for the default device (see `put_at_once`)."""

    buffer: np.ndarray[Any, Any]


def is_put_on_device(kind: Kind, spec: Any) -> bool:
    """Return whether a leaf becomes a `jax.Array`. Others become numpy arrays, and so do dtypes that JAX narrows."""
    wanted = kind != "numpy" or spec.sharding is not None
    return wanted and is_canonical(spec.dtype)


def read_only(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Make an array read-only: the cache of a store gives the same array to every reader."""
    array.flags.writeable = False
    return array


def put_at_once(values: Sequence[Any]) -> list[Any]:
    """Replace each `ForDevice` by an array on the default device. One call for all takes a fraction of the time."""
    waiting = [index for index, value in enumerate(values) if isinstance(value, ForDevice)]
    arrays = jax.device_put([values[index].buffer for index in waiting]) if waiting else ()
    placed = list(values)
    for index, array in zip(waiting, arrays, strict=True):
        placed[index] = array
    return placed


def sharded_array(spec: Any, read: Callable[[Bounds], np.ndarray[Any, Any]]) -> jax.Array:
    """Make a sharded array. Each region is read and cast once, however many devices hold it.

    Args:
      spec: the shape, dtype and sharding.
      read: returns the region of the stored array with some bounds.
    """
    regions: dict[Bounds, np.ndarray[Any, Any]] = {}

    def region(index: Any) -> np.ndarray[Any, Any]:
        bounds = region_bounds(index, spec.shape)
        if bounds not in regions:
            regions[bounds] = cast(read(bounds), spec.dtype)
        return regions[bounds]

    whole: jax.Array = jax.make_array_from_callback(
        spec.shape, spec.sharding, region, dtype=spec.dtype
    )
    return whole


def place(found: Sequence[tuple[HostArray, Leaf, Any]]) -> list[Any]:
    """Convert arrays in memory or in files to the values that their specs describe.

    Of an array in a file, only the parts that devices of this process need are read.

    Args:
      found: each array, its leaf, and the spec of the value.
    """
    if any(isinstance(array, RemoteArray) for array, _, _ in found):
        return put_at_once(map_threads(_copy, found, count=_REQUESTS))
    # Threads help only if numpy copies for long enough without the interpreter lock.
    is_large = any(array.nbytes >= _LARGE_BYTES for array, _, _ in found)
    return put_at_once(map_threads(_copy, found) if is_large else [_copy(one) for one in found])


def _copy(one: tuple[HostArray, Leaf, Any]) -> Any:
    array, leaf, spec = one
    if not is_put_on_device(leaf.kind, spec):
        return read_only(_filled(np.empty(spec.shape, spec.dtype), array))
    if spec.sharding is None:
        return ForDevice(_filled(aligned_empty(spec.shape, spec.dtype), array))
    return sharded_array(spec, lambda bounds: array[tuple(slice(*bound) for bound in bounds)])


def _filled(buffer: np.ndarray[Any, Any], array: HostArray) -> np.ndarray[Any, Any]:
    if isinstance(array, FileArray):
        array.read_into(buffer)
    else:
        cast_into(buffer, array)
    return buffer


def value_spec(value: Any) -> Any:
    """Describe a value that is an array or a number; return any other value unchanged."""
    if isinstance(value, np.ndarray | np.generic):
        return array_spec(value.shape, value.dtype)
    if isinstance(value, bool | int | float | complex):
        return array_spec((), np.result_type(value))
    return value
