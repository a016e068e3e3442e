"""A variable store over safetensors files, single or in several parts.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of a JSON header,
the header with each array's dtype, shape and place, the arrays. It is read here by itself; no
other package is needed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from linen_store.errors import CheckpointNotFoundError, DamagedCheckpointError, NotACheckpointError
from linen_store.filesystem.failures import read_failure
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_names import KeyMap, Layout, check_layout, named_tree, place
from linen_store.formats.orbax.layout import listed
from linen_store.formats.parts_index import read_index
from linen_store.reading.file_array import FileArray
from linen_store.reading.file_store import LazyStore, ShardingLike
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf, Root

__all__ = ["DTYPE_NAMES", "INDEX", "METADATA", "SafetensorsStore", "read_header"]

INDEX = ".safetensors.index.json"
"""The end of the name of a file that lists the parts of a model."""

METADATA = "__metadata__"
"""The entry of a header that is no array: the words of whoever wrote the file."""

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

DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
"""What the format calls each dtype that it knows."""


@dataclasses.dataclass(frozen=True)
class _Entry(FileArray):
    """One array, and what its file says of itself."""

    written_by: str | None
    """Whose arrays these are, as far as the file says so: ``flax``, ``pt``, ``tf``, ..."""


class SafetensorsStore(LazyStore):
    """A read-only store over safetensors: one file, or the parts that an ``.index.json`` lists.

    Opening reads headers only, and of an array only the parts are read that the devices of this
    process need. Names are split at dots, as flax's users join them. PyTorch lays arrays out
    otherwise: a file that says that it is PyTorch's, or says nothing and has the names of a PyTorch
    model, is refused unless ``layout`` says that its arrays are those of the model. The format has
    no checksums.

    Args:
      path: the file, the ``.index.json``, or the folder of either.
      root: which part of the file holds the collections (see `CheckpointStore`).
      key_map: from each name in the file to that of the variable, as a mapping or a function: names as a tuple, or
        joined by "/"; None leaves the array out.
      layout: ``"model"`` where the arrays have the layout that the model wants, whoever wrote them.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      DamagedCheckpointError: a header is damaged or does not fit its file.
      NotACheckpointError: ``path`` is a folder with several such files, or with none.
      TorchLayoutError: the file is PyTorch's, or its names are (`TorchNamesError`).
      UnknownOptionError: ``layout`` is none of its values.
      UnsafeNameError: the index names a file outside of its folder.
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

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        *,
        key_map: KeyMap = None,
        layout: Layout = None,
        dtype: Any = None,
        sharding: ShardingLike = None,
        unbox: bool = False,
        cache_bytes: int = 1 << 30,
    ) -> None:
        where = _chosen_file(local_path(path))
        watched = {where: file_identity(where)}
        read = _read_parts if where.endswith(".json") else _read_watched
        self._entries = read(where, watched)
        check_layout(
            where, self._entries, layout, {one.written_by for one in self._entries.values()}
        )
        tree, self._names = named_tree(where, self._entries, ".", key_map)
        super().__init__(
            where,
            tree,
            watched=watched,
            root=root,
            dtype=dtype,
            sharding=sharding,
            unbox=unbox,
            cache_bytes=cache_bytes,
        )

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        entries = [self._entries[self._names[leaf.names]] for leaf in leaves]
        return [array_spec(entry.shape, entry.dtype) for entry in entries]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        entries = [self._entries[self._names[leaf.names]] for leaf in leaves]
        try:
            return place(list(zip(entries, leaves, specs, strict=True)))
        except (OSError, EOFError) as error:
            file = getattr(error, "filename", None) or self.path
            raise read_failure(self.path, file, error) from error


def _chosen_file(path: str) -> str:
    """Find the file that a folder of one file, or of one index, means."""
    if not os.path.isdir(path):
        return path
    names = listed(path)
    found = [name for name in names if name.endswith(INDEX)]
    found = found or [name for name in names if name.endswith(".safetensors")]
    if len(found) != 1:
        what = f"a folder with {found} in it" if found else "a folder without any"
        raise NotACheckpointError(path, what, "Pass the path of one safetensors file or index.")
    return os.path.join(path, found[0])


def read_header(file: str) -> dict[str, _Entry]:
    """Read where the arrays of one file lie, and check that all of it makes sense.

    Raises:
      CheckpointNotFoundError: there is no such file.
      DamagedCheckpointError: the header is damaged or does not fit the file.
    """
    try:
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if length > min(_MAX_HEADER, size - 8):
                raise DamagedCheckpointError(
                    file, file, f"its header of {length} bytes does not fit"
                )
            fields = json.loads(stream.read(length))
        entries = dict(_checked(file, fields, size, 8 + length))
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(file) from error
    except OSError as error:
        raise read_failure(file, file, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, DamagedCheckpointError):
            raise
        reason = f"its header: {type(error).__name__}: {error}"
        raise DamagedCheckpointError(file, file, reason) from error
    return entries


def _checked(file: str, fields: Any, size: int, start: int) -> Iterator[tuple[str, _Entry]]:
    """Check that the arrays follow each other without holes, from the header to the end."""
    writer = (fields.get(METADATA) or {}).get("format")
    written_by = None if writer is None else str(writer)
    end_of_last = start
    entries = sorted(
        (item for item in fields.items() if item[0] != METADATA),
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


def _read_parts(index: str, watched: dict[str, Any]) -> dict[str, _Entry]:
    placed = read_index(index)
    parts = {file: _read_watched(file, watched) for file in sorted(set(placed.values()))}
    for name, file in placed.items():
        if name not in parts[file]:
            raise DamagedCheckpointError(index, file, f"{name!r} is missing")
    return {name: parts[file][name] for name, file in placed.items()}


def _read_watched(file: str, watched: dict[str, Any]) -> dict[str, _Entry]:
    watched[file] = file_identity(file)
    return read_header(file)
