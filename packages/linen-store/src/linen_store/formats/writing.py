"""Formats that `linen_store.convert` writes, and helpers for those with flat names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar, NamedTuple, Protocol

import numpy as np

from linen_core import VariableStore
from linen_store.errors import (
    DottedNameError,
    NameCollisionError,
    UnencodableNameError,
    UnsupportedLeafError,
)
from linen_store.reading.progress import Report
from linen_store.reading.specs import is_array_spec, is_text, render_spec
from linen_store.reading.stored import Stored, read_array

__all__ = ["MASKED", "WritableFormat", "WriteJob", "dtype_text", "host_array", "named_arrays"]

MASKED = "a masked numpy array, whose mask would be lost"
"""Description of a value that none of the formats here can hold."""


class WriteJob(NamedTuple):
    """A store that is written to a file."""

    store: VariableStore

    stream: BinaryIO
    """The file. It moves to the target when it is complete."""

    target: str
    """The path that the file moves to, for errors."""

    compression: bool
    """Compress the arrays. False for formats that do not set `compressible`."""

    report: Report
    """To be called with the size of each array that was written, in bytes."""


class WritableFormat(Protocol):
    """A format of one file that `linen_store.convert` writes.

    It is a `linen_core.store.registry.StoreFormat` with these members. ``convert(source, "model.tiny")`` then writes
    the format that is registered as ``tiny``, and so does ``convert(source, path, "tiny")``.

    Example:
      >>> import json, os, tempfile, linen_core as nn
      >>> class TinyStore(nn.MemoryStore):
      ...     @staticmethod
      ...     def write_store(job):
      ...         values = job.store.snapshot()["params"]
      ...         text = json.dumps({name: value.tolist() for name, value in values.items()})
      ...         job.stream.write(b"TINY" + text.encode())
      >>> with tempfile.TemporaryFile() as stream:
      ...     store = nn.MemoryStore({"params": {"bias": np.array([1, 2])}})
      ...     TinyStore.write_store(WriteJob(store, stream, "model.tiny", False, print))
      ...     stream.tell()
      20
    """

    compressible: ClassVar[bool]
    """If true, `write_store` can compress. False by default."""

    def write_store(self, job: WriteJob) -> None:
        """Write the values of a store, preferably one array at a time.

        Raises:
          UnsupportedLeafError: the format cannot hold a value.
        """


def named_arrays(
    target: str, found: list[Stored], kind: str, separator: str
) -> Iterator[tuple[str, Stored]]:
    """Yield each array with its flat name.

    Raises:
      DottedNameError: a name would be split when it is read.
      UnencodableNameError: a name cannot be written.
      NameCollisionError: two names are the same as strings.
    """
    seen: dict[str, Stored] = {}
    for one in found:
        names = tuple(map(str, one.names))
        for name in names:
            if separator in name or "\0" in name or not name:
                raise DottedNameError(target, names, kind, separator)
            if not is_text(name):
                raise UnencodableNameError(target, names)
        joined = separator.join(names)
        if joined in seen:
            first, second = (tuple(map(repr, names)) for names in (seen[joined].names, one.names))
            raise NameCollisionError(target, joined, first, second)
        seen[joined] = one
        yield joined, one


def dtype_text(spec: Any) -> str:
    """Return the dtype of an array, or the type of another value, for errors."""
    return str(spec.dtype) if is_array_spec(spec) else render_spec(spec)


def host_array(job: WriteJob, one: Stored) -> np.ndarray[Any, Any]:
    """Read one array into host memory.

    Raises:
      UnsupportedLeafError: it is a masked array.
    """
    value = read_array(job.store, one)
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedLeafError(job.target, one.names, MASKED)
    return np.asarray(value)
