"""Host memory that JAX uses without a copy, and threads that work on it."""

from __future__ import annotations

import concurrent.futures
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "ALIGNMENT",
    "Scratch",
    "aligned_empty",
    "cast",
    "cast_into",
    "is_canonical",
    "map_threads",
    "populated_empty",
]

ALIGNMENT = 64
"""JAX makes a CPU array from a host buffer of this alignment without a copy."""

_HUGE_PAGE = 1 << 21
"""The system provides memory at a multiple of this in far fewer page faults."""

_POPULATED_BYTES = 1 << 18
"""Smaller buffers come from memory that the process already has."""


def aligned_empty(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Make an uninitialised array whose alignment lets JAX use it without a copy."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    # Use whole huge pages, unless that wastes more than a sixteenth of the array.
    alignment = _HUGE_PAGE if size and -size % _HUGE_PAGE <= size // 16 else ALIGNMENT
    raw = np.empty(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    aligned: np.ndarray[Any, Any] = raw[start : start + size].view(dtype).reshape(shape)
    return aligned


def cast_into(target: np.ndarray[Any, Any], source: np.ndarray[Any, Any]) -> None:
    """Copy values to an array of another dtype; like JAX, without warnings about overflow."""
    with np.errstate(invalid="ignore", over="ignore"):
        target[...] = source


def cast(array: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Cast an array, into memory that JAX uses without a copy. Return it unchanged if it has the dtype."""
    if array.dtype == dtype:
        return array
    converted = aligned_empty(array.shape, dtype)
    cast_into(converted, array)
    return converted


class Scratch:
    """Memory for short-lived buffers, which later buffers reuse.

    Example:
      >>> scratch = Scratch()
      >>> first = scratch.empty((2, 3), np.float32)
      >>> scratch.reuse()
      >>> np.shares_memory(first, scratch.empty((6,), np.float32))
      True
    """

    def __init__(self) -> None:
        self._blocks: list[np.ndarray[Any, Any]] = []
        self._used = 0

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
        """Make an uninitialised array, in a block of earlier memory if one is large enough."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._used == len(self._blocks):
            self._blocks.append(aligned_empty((size,), np.uint8))
        elif self._blocks[self._used].nbytes < size:
            self._blocks[self._used] = aligned_empty((size,), np.uint8)
        block = self._blocks[self._used][:size]
        self._used += 1
        array: np.ndarray[Any, Any] = block.view(dtype).reshape(shape)
        return array

    def reuse(self) -> None:
        """Let later buffers overwrite the earlier ones."""
        self._used = 0


def populated_empty(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Like `aligned_empty`, with pages that the system provides in one call, if it can.

    Filling the memory then takes half the time, without a page fault for each page.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _POPULATED_BYTES:
        return aligned_empty(shape, dtype)
    import mmap

    if not hasattr(mmap, "MAP_POPULATE"):
        return aligned_empty(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    return np.frombuffer(mmap.mmap(-1, size, flags), dtype).reshape(shape)


def map_threads(
    function: Callable[[Any], Any], items: Sequence[Any], *, count: int | None = None
) -> list[Any]:
    """Map a function that releases the interpreter lock, in a few threads.

    Args:
      function: the function.
      items: its arguments.
      count: the most threads; by default one for each processor, up to eight.
    """
    workers = min(count or min(8, os.cpu_count() or 1), len(items))
    if workers <= 1:
        return [function(item) for item in items]
    results: list[Any] = [None] * len(items)

    def work(start: int) -> None:
        for index in range(start, len(items), workers):
            results[index] = function(items[index])

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    return results


def is_canonical(dtype: Any) -> bool:
    """Return whether JAX keeps a dtype: without `jax_enable_x64` it narrows 64-bit numbers."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return True  # PRNG keys have one width only
    return bool(jax.dtypes.canonicalize_dtype(dtype) == dtype)
