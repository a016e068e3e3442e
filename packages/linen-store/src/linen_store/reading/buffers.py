"""Host memory that JAX takes over without a copy, and work on it in threads."""

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
    "Scratch",
    "aligned_empty",
    "cast",
    "cast_into",
    "is_canonical",
    "map_threads",
    "populated_empty",
]

_ALIGNMENT = 64
"""JAX takes a host buffer of this alignment as a CPU array without a copy."""

_HUGE_PAGE = 1 << 21
"""Memory that begins at a multiple of this is given out by the system in far fewer steps."""

_POPULATED_BYTES = 1 << 18
"""Smaller buffers come from memory that the process has already."""


def aligned_empty(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Make an uninitialised array whose first byte is aligned so that JAX need not copy it."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    # whole huge pages, unless the rest of the last one were more than a sixteenth of the array
    alignment = _HUGE_PAGE if size and -size % _HUGE_PAGE <= size // 16 else _ALIGNMENT
    raw = np.empty(size + alignment, np.uint8)
    start = -raw.ctypes.data % alignment
    aligned: np.ndarray[Any, Any] = raw[start : start + size].view(dtype).reshape(shape)
    return aligned


def cast_into(target: np.ndarray[Any, Any], source: np.ndarray[Any, Any]) -> None:
    """Copy values into an array of another dtype; like JAX, without warnings for what does not fit."""
    with np.errstate(invalid="ignore", over="ignore"):
        target[...] = source


def cast(array: np.ndarray[Any, Any], dtype: Any) -> np.ndarray[Any, Any]:
    """Give an array a dtype, in memory that JAX takes over as it is; without a copy where it has it."""
    if array.dtype == dtype:
        return array
    made = aligned_empty(array.shape, dtype)
    cast_into(made, array)
    return made


class Scratch:
    """Memory for buffers that are needed for a moment only, and used again for the next ones.

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
        """Make an uninitialised array, in a block of memory that is used again if it is large enough."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._used == len(self._blocks):
            self._blocks.append(aligned_empty((size,), np.uint8))
        elif self._blocks[self._used].nbytes < size:
            self._blocks[self._used] = aligned_empty((size,), np.uint8)
        block = self._blocks[self._used][:size]
        self._used += 1
        made: np.ndarray[Any, Any] = block.view(dtype).reshape(shape)
        return made

    def reuse(self) -> None:
        """Let the next buffers take the memory of those made so far."""
        self._used = 0


def populated_empty(shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    """Like `aligned_empty`, with pages that the system gives out in one call, where it can.

    To fill fresh memory takes half the time then: no page has to be asked for by a fault of its own.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _POPULATED_BYTES:
        return aligned_empty(shape, dtype)
    import mmap

    if not hasattr(mmap, "MAP_POPULATE"):
        return aligned_empty(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    return np.frombuffer(mmap.mmap(-1, size, flags), dtype).reshape(shape)


def map_threads(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Map a function that lets go of the interpreter lock over a few threads."""
    workers = min(8, os.cpu_count() or 1, len(items))
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
    """Return whether JAX keeps a dtype: without `jax_enable_x64` it makes 64-bit numbers 32-bit."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return True  # PRNG keys have one width only
    return bool(jax.dtypes.canonicalize_dtype(dtype) == dtype)
