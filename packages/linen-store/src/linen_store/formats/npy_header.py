"""Headers of ``.npy`` files, alone or in an ``.npz``. Pickled objects are refused."""

from __future__ import annotations

import math
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from linen_store.errors import NotACheckpointError

__all__ = ["NPY_ERRORS", "SUFFIX", "NpyHeader", "read_npy_header"]

SUFFIX = ".npy"

NPY_ERRORS = (ValueError, KeyError, EOFError, SyntaxError, TypeError)
"""Errors of numpy for a damaged header."""

_BFLOAT16 = np.dtype(jnp.bfloat16)


class NpyHeader(NamedTuple):
    """The header of one array."""

    shape: tuple[int, ...]

    dtype: np.dtype[Any]
    """As it is stored, in either byte order."""

    fortran_order: bool

    offset: int
    """Position of the first value in the file, in bytes."""


def read_npy_header(where: str, name: str, stream: IO[bytes], size: int) -> NpyHeader:
    """Read and check the header at the beginning of a stream.

    Args:
      where: the path that was opened, for errors.
      name: the name of the array in it.
      stream: the stream.
      size: its length in bytes.

    Raises:
      NotACheckpointError: the array is of pickled objects, or not of numbers.
      ValueError: the header is damaged, or contradicts the size (or another of `NPY_ERRORS`).
    """
    read: Any = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(stream)]
    shape, fortran_order, dtype = read(stream)
    start = stream.tell()
    if dtype.hasobject:
        hint = "Loading them would run code. Save plain arrays instead."
        raise NotACheckpointError(where, f"pickled objects in {name!r}", hint)
    if dtype.kind == "V" and dtype.itemsize == _BFLOAT16.itemsize and dtype.names is None:
        dtype = _BFLOAT16  # numpy writes bfloat16 as two bytes of unknown type
    if dtype.kind not in "biufcV" or (dtype.kind == "V" and dtype != _BFLOAT16):
        raise NotACheckpointError(where, f"an array of {dtype}", "Save arrays of numbers.")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - start:
        msg = f"{name!r} does not have the size of {dtype}{shape}"
        raise ValueError(msg)
    return NpyHeader(shape, dtype, fortran_order, start)
