"""Arrays in a file in row-major order, read with ordinary reads.

If a file that is mapped into memory is cut short, accessing it kills the process. A short read raises an error.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from linen_store.reading.buffers import aligned_empty, cast_into
from linen_store.reading.specs import region_bounds

__all__ = ["FileArray"]

_SHORT_RUN = 1 << 12
"""Shorter runs of bytes are read together with the bytes between them."""

_BLOCK = 1 << 20


@dataclasses.dataclass(frozen=True)
class FileArray:
    """One array in a file."""

    file: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    """Position of its first byte."""

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read_into(self, buffer: np.ndarray[Any, Any]) -> None:
        """Read the whole array into a contiguous buffer of its shape, casting a few elements at a time.

        Raises:
          EOFError: the file ends before the array does.
          OSError: the file cannot be read.
        """
        with open(self.file, "rb", buffering=0) as stream:
            if buffer.dtype == self.dtype:
                _fill(stream, self.offset, buffer)
                return
            flat = buffer.reshape(-1)
            block = np.empty(min(flat.size, max(1, _BLOCK // self.dtype.itemsize)), self.dtype)
            for start in range(0, flat.size, max(1, block.size)):
                part = block[: flat.size - start]
                _fill(stream, self.offset + start * self.dtype.itemsize, part)
                cast_into(flat[start : start + part.size], part)

    def read(self) -> np.ndarray[Any, Any]:
        """Read the whole array, into memory that JAX uses without a copy; see `read_into`."""
        whole = aligned_empty(self.shape, self.dtype)
        self.read_into(whole)
        return whole

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        """Read a region: of each axis from a start to a stop."""
        bounds = region_bounds(index, self.shape)
        split = [axis for axis, bound in enumerate(bounds) if bound != (0, self.shape[axis])]
        if not split:
            return self.read()
        region = aligned_empty([stop - start for start, stop in bounds], self.dtype)
        # From the last axis that is split on, each run of elements is contiguous in the file.
        axis = split[-1]
        run = math.prod(region.shape[axis:]) * self.dtype.itemsize
        with open(self.file, "rb", buffering=0) as stream:
            if run >= _SHORT_RUN or axis == 0:
                self._read_runs(stream, region, bounds, axis)
            else:
                self._read_blocks(stream, region, bounds, axis - 1)
        return region

    def _read_runs(
        self, stream: BinaryIO, region: np.ndarray[Any, Any], bounds: Any, axis: int
    ) -> None:
        for outer in np.ndindex(region.shape[:axis]):
            start = self._position(outer, bounds, bounds[axis][0])
            _fill(stream, start, region[(*outer, ...)])

    def _read_blocks(
        self, stream: BinaryIO, region: np.ndarray[Any, Any], bounds: Any, axis: int
    ) -> None:
        """Read whole rows below an axis, many at a time, and keep the part in the region."""
        row = self.shape[axis + 1 :]
        rows = _BLOCK // max(1, math.prod(row) * self.dtype.itemsize) or 1
        kept = tuple(slice(*bound) for bound in bounds[axis + 1 :])
        first, last = bounds[axis]
        for outer, low in itertools.product(
            np.ndindex(region.shape[:axis]), range(first, last, rows)
        ):
            high = min(low + rows, last)
            block = np.empty((high - low, *row), self.dtype)
            _fill(stream, self._position(outer, bounds, low), block)
            region[(*outer, slice(low - first, high - first))] = block[(slice(None), *kept)]

    def _position(self, outer: Sequence[int], bounds: Any, last: int) -> int:
        """Return the position of an element in the file, from its indices in the region and its last index."""
        indices = [start + inner for inner, (start, _) in zip(outer, bounds, strict=False)]
        indices.append(last)
        element = 0
        for size, number in itertools.zip_longest(self.shape, indices, fillvalue=0):
            element = element * size + number
        return self.offset + element * self.dtype.itemsize


def _fill(stream: BinaryIO, offset: int, buffer: np.ndarray[Any, Any]) -> None:
    raw = buffer.reshape(-1).view(np.uint8).data
    stream.seek(offset)
    done = 0
    while done < len(raw):
        count = stream.readinto(raw[done:])  # type: ignore[attr-defined]
        if not count:
            msg = f"the file ends at {offset + done}, expected {len(raw) - done} bytes more"
            raise EOFError(msg)
        done += count
