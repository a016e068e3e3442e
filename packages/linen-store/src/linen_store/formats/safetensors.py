"""Safetensors files, single or in several parts: recognised, opened and written.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of a JSON header, the header with the
dtype, shape and place of each array, then the arrays. It is read and written here without another package.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from typing import Any, ClassVar, Unpack

import jax.numpy as jnp
import numpy as np

from linen_core.errors import StoreError
from linen_store.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    UnsupportedLeafError,
)
from linen_store.filesystem.failures import first_bytes, listed, read_errors
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_store import FlatStore, torch_name
from linen_store.formats.parts_index import read_index
from linen_store.formats.writing import WriteJob, dtype_text, host_array, named_arrays
from linen_store.reading.file_array import FileArray
from linen_store.reading.options import FlatOptions, Root
from linen_store.reading.specs import is_array_spec, nbytes
from linen_store.reading.stored import Stored, arrays_of

__all__ = ["SafetensorsStore", "read_header"]

_SAFETENSORS_INDEX = ".safetensors.index.json"
"""Suffix of a file that lists the parts of a model."""

_METADATA = "__metadata__"
"""The entry of a header that describes the file, not an array."""

_MAX_HEADER = 100_000_000
"""The longest header that the format allows, in bytes."""

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
}

_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}

_BYTE = np.dtype(np.uint8)


@dataclasses.dataclass(frozen=True)
class _Entry(FileArray):
    """One array, and what the metadata of its file says."""

    written_by: str | None
    """The program that wrote the file, if it says so: ``flax``, ``pt``, ``tf``, ..."""


class SafetensorsStore(FlatStore):
    """A read-only store over safetensors: one file, or the parts that an ``.index.json`` lists.

    Opening reads headers only, and a read of an array only the parts that the devices of this process need. Names are
    split at dots, as users of flax join them. PyTorch uses another layout of arrays: a file that says that it is
    PyTorch's, or says nothing and has the names of a PyTorch model, is refused unless ``layout`` is given. The format
    has no checksums.

    Args:
      path: the file, the ``.index.json``, or the folder of either.
      root: the part of the file that holds the collections (see `CheckpointStore`).
      **options: ``key_map``, ``layout``, ``dtype``, ``sharding``, ``unbox`` and ``cache_bytes``, as for `open_store`.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      DamagedCheckpointError: a header is damaged or does not fit its file.
      NotACheckpointError: ``path`` is a folder with several such files, or with none.
      TorchLayoutError: the file is PyTorch's, or its names are (`TorchNamesError`).
      UnknownOptionError: ``layout`` is not one of its values.
      UnsafeNameError: the index names a file outside its folder.
      RootNotFoundError: the file has no collections at ``root``.

    Example:
      >>> import json, os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
      >>> header = {"params.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
      >>> text = json.dumps(header).encode()
      >>> with open(path, "wb") as stream:
      ...     size = stream.write(len(text).to_bytes(8, "little") + text + np.ones(2, np.float32).tobytes())
      >>> SafetensorsStore(path).spec("params", ("bias",))
      ShapeDtypeStruct(shape=(2,), dtype=float32)
    """

    suffixes: ClassVar = (".safetensors",)
    _separator = "."

    def __init__(
        self, path: str | os.PathLike[str], root: Root = None, **options: Unpack[FlatOptions]
    ) -> None:
        where = _chosen_file(local_path(path))
        watched = {where: file_identity(where)}
        read = _read_headers if where.endswith(".json") else _read_watched
        entries = read(where, watched)
        written_by = {entry.written_by for entry in entries.values()}
        super().__init__(where, entries, watched, root, written_by, **options)

    @classmethod
    def recognizes(cls, path: str) -> bool:
        """Return whether a file starts with the length of a header and the header, or is an index of parts."""
        head = first_bytes(path)
        is_header = head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40
        return is_header or path.endswith(_SAFETENSORS_INDEX)

    def _array(self, name: str, names: tuple[str, ...]) -> FileArray:
        entry: FileArray = self._arrays[name]
        return entry

    @staticmethod
    def write_store(job: WriteJob) -> None:
        """Write a safetensors file, names joined by dots.

        The metadata names the format "flax", or "pt" for a store without ``params`` that has the names of a PyTorch
        model, such as one that a map makes: PyTorch's programs take the file, and `open_store` asks for a map.

        Raises:
          DottedNameError: a name has a dot in it.
          UnsupportedLeafError: safetensors cannot hold a value.
        """
        # Large numbers first: then all are aligned. The format has no None and no empty containers.
        found = sorted(
            arrays_of(job.store, nones=True),
            key=lambda one: -getattr(one.spec, "dtype", _BYTE).itemsize,
        )
        named = list(named_arrays(job.target, found, "safetensors", "."))
        is_torch = "params" not in job.store.collections() and torch_name(name for name, _ in named)
        header: dict[str, Any] = {_METADATA: {"format": "pt" if is_torch else "flax"}}
        offset = 0
        for name, one in named:
            size = nbytes(one.spec)
            header[name] = {
                "dtype": _dtype_name(job.target, one),
                "shape": list(one.spec.shape),
                "data_offsets": [offset, offset + size],
            }
            offset += size
        raw = json.dumps(header, separators=(",", ":")).encode()
        # The format requires that the arrays start at a multiple of eight bytes.
        raw += b" " * (-len(raw) % 8)
        job.stream.write(len(raw).to_bytes(8, "little") + raw)
        for one in found:
            array = np.ascontiguousarray(host_array(job, one))
            job.stream.write(array.reshape(-1).view(np.uint8).data)
            job.report(array.nbytes)


def _dtype_name(target: str, one: Stored) -> str:
    name = _DTYPE_NAMES.get(str(one.spec.dtype)) if is_array_spec(one.spec) else None
    if name is None:
        raise UnsupportedLeafError(target, one.names, dtype_text(one.spec), "safetensors")
    return name


def _chosen_file(path: str) -> str:
    """Return the only file, or the only index, of a folder."""
    if not os.path.isdir(path):
        return path
    names = listed(path)
    found = [name for name in names if name.endswith(_SAFETENSORS_INDEX)]
    found = found or [name for name in names if name.endswith(".safetensors")]
    if len(found) != 1:
        what = f"a folder with {found} in it" if found else "a folder without any"
        raise NotACheckpointError(path, what, "Pass the path of one safetensors file or index.")
    return os.path.join(path, found[0])


def read_header(file: str) -> dict[str, _Entry]:
    """Read and check the header of one file: the places of its arrays.

    Raises:
      CheckpointNotFoundError: the file does not exist.
      DamagedCheckpointError: the header is damaged or does not fit the file.
    """
    damage = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
    try:
        with read_errors(file), open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if length > min(_MAX_HEADER, size - 8):
                raise DamagedCheckpointError(
                    file, file, f"its header of {length} bytes does not fit"
                )
            fields = json.loads(stream.read(length))
        return dict(_checked_entries(file, fields, size, 8 + length))
    except StoreError:
        raise
    except damage as error:
        reason = f"its header: {type(error).__name__}: {error}"
        raise DamagedCheckpointError(file, file, reason) from error


def _checked_entries(file: str, fields: Any, size: int, start: int) -> Iterator[tuple[str, _Entry]]:
    """Check that the arrays follow each other without holes, from the header to the end."""
    writer = (fields.get(_METADATA) or {}).get("format")
    written_by = None if writer is None else str(writer)
    end_of_last = start
    entries = sorted(
        (item for item in fields.items() if item[0] != _METADATA),
        key=lambda item: tuple(item[1]["data_offsets"]),
    )
    for name, entry in entries:
        if entry["dtype"] not in _DTYPES:
            msg = f"{name!r} has the unknown dtype {entry['dtype']!r}"
            raise ValueError(msg)
        dtype = np.dtype(jnp.dtype(_DTYPES[entry["dtype"]]))
        shape, offsets = tuple(entry["shape"]), tuple(entry["data_offsets"])
        if any(type(number) is not int or not 0 <= number < 2**63 for number in shape + offsets):
            msg = f"{name!r} has the shape {shape} and lies at {offsets}"
            raise ValueError(msg)
        first, last = (start + offset for offset in offsets)
        if first != end_of_last or last - first != math.prod(shape) * dtype.itemsize:
            msg = f"{name!r} lies at {first}:{last}, expected {dtype}{shape} from {end_of_last} on"
            raise ValueError(msg)
        end_of_last = last
        yield name, _Entry(file, dtype, shape, first, written_by)
    if end_of_last != size:
        msg = f"the arrays end at {end_of_last}, the file at {size}"
        raise ValueError(msg)


def _read_headers(index: str, watched: dict[str, Any]) -> dict[str, _Entry]:
    placed = read_index(index)
    parts = {file: _read_watched(file, watched) for file in sorted(set(placed.values()))}
    for name, file in placed.items():
        if name not in parts[file]:
            raise DamagedCheckpointError(index, file, f"{name!r} is missing")
    return {name: parts[file][name] for name, file in placed.items()}


def _read_watched(file: str, watched: dict[str, Any]) -> dict[str, _Entry]:
    watched[file] = file_identity(file)
    return read_header(file)
