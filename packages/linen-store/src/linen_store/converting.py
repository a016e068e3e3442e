"""Writing what any store holds in another format, one array in memory at a time."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, BinaryIO, Literal

import numpy as np

from linen_core import VariableStore
from linen_store._fit import Stored, arrays_of
from linen_store._specs import flatten_names, is_array_spec, nbytes
from linen_store._swap import publish, workshop
from linen_store.errors import (
    CheckpointExistsError,
    DottedNameError,
    NotACheckpointError,
    UnsupportedLeafError,
)
from linen_store.opening import open_store
from linen_store.safetensors_store import DTYPE_NAMES
from linen_store.saving import save

__all__ = ["Format", "convert"]

Format = Literal["orbax", "safetensors"]


def convert(
    source: VariableStore | str | os.PathLike[str],
    path: str | os.PathLike[str],
    to: Format | None = None,
    *,
    overwrite: bool = False,
    compression: bool = True,
) -> None:
    """Write what a store holds as an Orbax checkpoint or as safetensors.

    Args:
      source: a store, or the path of anything that `open_store` opens.
      path: where to write.
      to: the format; told from the ending of ``path`` by default.
      overwrite: whether what is at ``path`` is replaced.
      compression: whether an Orbax checkpoint is compressed.

    Raises:
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      DottedNameError: safetensors would split a name at its dot.
      UnsupportedLeafError: the format cannot hold a value.
      StoreError: the source cannot be read, or the target not be written.

    Example:
      >>> import tempfile, linen_core as nn
      >>> folder = tempfile.mkdtemp()
      >>> store = nn.MemoryStore({"params": {"bias": np.zeros(3, np.float32)}})
      >>> convert(store, os.path.join(folder, "model.safetensors"))
      >>> convert(os.path.join(folder, "model.safetensors"), os.path.join(folder, "model"))
      >>> open_store(os.path.join(folder, "model")).get("params", ("bias",))
      Array([0., 0., 0.], dtype=float32)
    """
    target = os.path.abspath(os.fspath(path))
    chosen = to or ("safetensors" if target.endswith(".safetensors") else "orbax")
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            # Nothing is read twice: a cache would only keep arrays in memory.
            source = stack.enter_context(open_store(source, cache_bytes=0))
        if chosen == "orbax":
            save(target, source, overwrite, compression=compression)
        else:
            _write_safetensors(source, target, overwrite)


def _write_safetensors(store: VariableStore, target: str, overwrite: bool) -> None:
    if os.path.lexists(target) and not overwrite:
        raise CheckpointExistsError(target)
    if os.path.isdir(target):
        raise NotACheckpointError(target, "a folder", "Only a file is overwritten by safetensors.")
    found = [one for collection in store.collections() for one in arrays_of(store, collection)]
    header: dict[str, Any] = {}
    offset = 0
    for one in found:
        size = nbytes(one.spec)
        header[_flat_name(target, one)] = {
            "dtype": _dtype_name(target, one),
            "shape": list(one.spec.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    with workshop(target) as folder:
        finished = os.path.join(folder, "file")
        with open(finished, "wb") as stream:
            _write_header(stream, header)
            for one in found:
                stream.write(_bytes_of(store, one))
            stream.flush()
            os.fsync(stream.fileno())
        publish(finished, target, overwrite=overwrite)


def _flat_name(target: str, one: Stored) -> str:
    for name in one.names:
        if "." in name or not name:
            raise DottedNameError(target, one.names)
    return ".".join(one.names)


def _dtype_name(target: str, one: Stored) -> str:
    name = DTYPE_NAMES.get(str(one.spec.dtype)) if is_array_spec(one.spec) else None
    if name is None:
        found = str(one.spec.dtype) if is_array_spec(one.spec) else type(one.spec).__name__
        raise UnsupportedLeafError(target, one.names, f"{found}, which safetensors cannot hold")
    return name


def _write_header(stream: BinaryIO, header: dict[str, Any]) -> None:
    raw = json.dumps(header, separators=(",", ":")).encode()
    # The arrays start at a multiple of eight bytes, as the format asks.
    raw += b" " * (-len(raw) % 8)
    stream.write(len(raw).to_bytes(8, "little") + raw)


def _bytes_of(store: VariableStore, one: Stored) -> memoryview:
    names, leaves, _ = flatten_names(store.get(one.collection, one.path))
    position = names.index(one.names[1 + len(one.path) :])
    return np.ascontiguousarray(leaves[position]).reshape(-1).view(np.uint8).data
