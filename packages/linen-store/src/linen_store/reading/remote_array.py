"""Arrays in remote files in row-major order: each read is one request for a range of bytes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from linen_store.filesystem.remote import RemoteFolder
from linen_store.reading.buffers import cast_into
from linen_store.reading.file_array import FileArray

__all__ = ["RemoteArray"]


@dataclasses.dataclass(frozen=True)
class RemoteArray(FileArray):
    """One array in a remote file; ``file`` is the name of the object."""

    folder: RemoteFolder
    leaf: tuple[str, ...]
    """Its names, for errors."""

    def read_into(self, buffer: np.ndarray[Any, Any]) -> None:
        """Read the whole array into a buffer of its shape, and cast it.

        Raises:
          FileNotFoundError: the object does not exist.
          RemoteFailedError: the request failed.
        """
        cast_into(buffer, self._rows(0, self.shape[0] if self.shape else 1))

    def __getitem__(self, index: Any) -> np.ndarray[Any, Any]:
        """Read a region. Of the first axis only the part in the region is requested."""
        first, *others = index
        start, stop, _ = first.indices(self.shape[0])
        return self._rows(start, stop)[(slice(None), *others)]

    def _rows(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        rest = self.shape[1:]
        row = math.prod(rest) * self.dtype.itemsize
        shape = (stop - start, *rest) if self.shape else ()
        if row * (stop - start) == 0:
            return np.empty(shape, self.dtype)
        first, last = self.offset + start * row, self.offset + stop * row
        raw = self.folder.read_range(self.file, first, last, self.leaf)
        return np.frombuffer(raw, self.dtype).reshape(shape)
