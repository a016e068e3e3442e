"""Writing what any store holds in another format, one array in memory at a time."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, BinaryIO, Literal

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore
from linen_store._fit import Names, Stored, arrays_of, read_array
from linen_store._paths import local_path
from linen_store._specs import is_array_spec, is_text, nbytes, render_spec
from linen_store._swap import publish, workshop
from linen_store.errors import (
    CheckpointExistsError,
    DottedNameError,
    NotACheckpointError,
    UnencodableNameError,
    UnknownFormatError,
    UnsupportedLeafError,
)
from linen_store.opening import open_store
from linen_store.safetensors_store import DTYPE_NAMES, METADATA
from linen_store.saving import MASKED, check_target, save

__all__ = ["Format", "convert"]

_STAGED_BYTES = 1 << 20
"""Arrays from this size on are staged in a file."""

_ALIGNMENT = 64
_BYTE = np.dtype(np.uint8)

Format = Literal["orbax", "safetensors"]
_FORMATS: tuple[Format, ...] = ("orbax", "safetensors")


def convert(
    source: VariableStore | str | os.PathLike[str],
    path: str | os.PathLike[str],
    to: Format | None = None,
    *,
    overwrite: bool = False,
    compression: bool = False,
) -> None:
    """Write what a store holds as an Orbax checkpoint or as safetensors.

    Args:
      source: a store, or the path of anything that `open_store` opens.
      path: where to write.
      to: the format; told from the ending of ``path`` by default.
      overwrite: whether what is at ``path`` is replaced.
      compression: whether an Orbax checkpoint is compressed.

    Raises:
      UnknownFormatError: ``to`` is no format that can be written.
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
    target = os.path.abspath(local_path(path))
    if to is not None and to not in _FORMATS:
        raise UnknownFormatError(to, _FORMATS)
    chosen = to or ("safetensors" if target.endswith(".safetensors") else "orbax")
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            # Nothing is read twice: a cache would only keep arrays in memory.
            source = stack.enter_context(open_store(source, cache_bytes=0))
        if chosen == "safetensors":
            _write_safetensors(source, target, overwrite)
            return
        check_target(target, overwrite)
        with workshop(target) as folder:
            with open(os.path.join(folder, "arrays"), "w+b") as stream:
                staged = {name: _staged(source, name, (), stream) for name in source.collections()}
            save(target, staged, overwrite, compression=compression)


def _staged(store: VariableStore, collection: str, path: Names, stream: BinaryIO) -> Any:
    """Copy a node into a file, array by array, and give it back with the arrays mapped from there.

    Orbax wants all arrays at once. Mapped from a file, they take no memory that the system could
    not have back at any moment.
    """
    spec = store.spec(collection, path)
    if isinstance(spec, dict):
        return {name: _staged(store, collection, (*path, name), stream) for name in spec}
    return jax.tree.map(lambda leaf: _mapped(leaf, stream), store.get(collection, path))


def _mapped(leaf: Any, stream: BinaryIO) -> Any:
    # The masked would lose their masks here, and are refused later.
    is_plain = isinstance(leaf, np.ndarray | jax.Array) and not isinstance(leaf, np.ma.MaskedArray)
    size = leaf.nbytes if is_plain else 0
    if size < _STAGED_BYTES or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    array = np.ascontiguousarray(leaf)
    stream.seek(-(-stream.seek(0, os.SEEK_END) // _ALIGNMENT) * _ALIGNMENT)
    start = stream.tell()
    stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()
    raw = np.memmap(stream.name, np.uint8, "r", offset=start, shape=(size,))
    mapped: Any = raw.view(array.dtype).reshape(array.shape)
    # On a CPU, JAX takes memory of this alignment over as it is.
    return jax.device_put(mapped, jax.devices("cpu")[0]) if isinstance(leaf, jax.Array) else mapped


def _write_safetensors(store: VariableStore, target: str, overwrite: bool) -> None:
    if os.path.lexists(target) and not overwrite:
        raise CheckpointExistsError(target)
    if os.path.isdir(target):
        raise NotACheckpointError(target, "a folder", "Only a file is overwritten by safetensors.")
    # Large numbers first, so that all are aligned; the format has no None and no empty containers.
    found = sorted(
        arrays_of(store, nones=True), key=lambda one: -getattr(one.spec, "dtype", _BYTE).itemsize
    )
    header: dict[str, Any] = {METADATA: {"format": "flax"}}
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
                stream.write(_bytes_of(store, one, target))
            stream.flush()
            os.fsync(stream.fileno())
        publish(finished, target, overwrite=overwrite)


def _flat_name(target: str, one: Stored) -> str:
    for name in one.names:
        if "." in name or not name:
            raise DottedNameError(target, one.names)
        if not is_text(name):
            raise UnencodableNameError(target, one.names)
    return ".".join(one.names)


def _dtype_name(target: str, one: Stored) -> str:
    name = DTYPE_NAMES.get(str(one.spec.dtype)) if is_array_spec(one.spec) else None
    if name is None:
        found = str(one.spec.dtype) if is_array_spec(one.spec) else render_spec(one.spec)
        raise UnsupportedLeafError(target, one.names, f"{found}, which safetensors cannot hold")
    return name


def _write_header(stream: BinaryIO, header: dict[str, Any]) -> None:
    raw = json.dumps(header, separators=(",", ":")).encode()
    # The arrays start at a multiple of eight bytes, as the format asks.
    raw += b" " * (-len(raw) % 8)
    stream.write(len(raw).to_bytes(8, "little") + raw)


def _bytes_of(store: VariableStore, one: Stored, target: str) -> memoryview:
    value = read_array(store, one)
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedLeafError(target, one.names, MASKED)
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
