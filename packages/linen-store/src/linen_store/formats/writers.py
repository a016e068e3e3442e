"""Writing what a store holds as one file: safetensors, ``.npz`` or the MessagePack of flax.

One array is in memory at a time.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore
from linen_store.errors import (
    DottedNameError,
    NameCollisionError,
    UnencodableNameError,
    UnsupportedLeafError,
    UnsupportedStateError,
)
from linen_store.formats.safetensors_store import DTYPE_NAMES, METADATA
from linen_store.reading.progress import Tell
from linen_store.reading.specs import is_array_spec, is_text, nbytes, render_spec
from linen_store.restoring.matching import Names, Stored, arrays_of, read_array
from linen_store.saving.checkpoint import MASKED
from linen_store.serialization import to_bytes

__all__ = ["FileWriter", "write_msgpack", "write_npz", "write_safetensors"]

FileWriter: TypeAlias = Callable[[VariableStore, str, BinaryIO, bool, Tell], None]
"""Writes a store to an open file; the path is for errors, the flag says whether to compress."""

_BYTE = np.dtype(np.uint8)


def write_safetensors(
    store: VariableStore, target: str, stream: BinaryIO, _compressed: bool, tell: Tell
) -> None:
    """Write safetensors, names joined by dots.

    Raises:
      DottedNameError: a name has a dot in it.
      UnsupportedLeafError: safetensors cannot hold a value.
    """
    # Large numbers first, so that all are aligned; the format has no None and no empty containers.
    found = sorted(
        arrays_of(store, nones=True), key=lambda one: -getattr(one.spec, "dtype", _BYTE).itemsize
    )
    header: dict[str, Any] = {METADATA: {"format": "flax"}}
    offset = 0
    for name, one in _named(target, found, "safetensors", "."):
        size = nbytes(one.spec)
        header[name] = {
            "dtype": _safetensors_dtype(target, one),
            "shape": list(one.spec.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    raw = json.dumps(header, separators=(",", ":")).encode()
    # The arrays start at a multiple of eight bytes, as the format asks.
    raw += b" " * (-len(raw) % 8)
    stream.write(len(raw).to_bytes(8, "little") + raw)
    for one in found:
        array = np.ascontiguousarray(_host_array(store, one, target))
        stream.write(array.reshape(-1).view(np.uint8).data)
        tell(array.nbytes)


def _safetensors_dtype(target: str, one: Stored) -> str:
    name = DTYPE_NAMES.get(str(one.spec.dtype)) if is_array_spec(one.spec) else None
    if name is None:
        raise UnsupportedLeafError(target, one.names, _described(one.spec), "safetensors")
    return name


def write_npz(
    store: VariableStore, target: str, stream: BinaryIO, compressed: bool, tell: Tell
) -> None:
    """Write ``.npz``, names joined by slashes.

    Raises:
      DottedNameError: a name has a slash in it.
      UnsupportedLeafError: ``.npz`` cannot hold a value.
    """
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    named = list(_named(target, arrays_of(store, nones=True), "npz", "/"))
    for _, one in named:
        if not is_array_spec(one.spec) or not _is_numpy_dtype(one.spec.dtype):
            raise UnsupportedLeafError(
                target, one.names, f"{_described(one.spec)}, which npz cannot hold"
            )
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, one in named:
            array = _host_array(store, one, target)
            with archive.open(name + ".npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
            tell(array.nbytes)


def _is_numpy_dtype(dtype: Any) -> bool:
    """Return whether a file of numpy says what the dtype is; of bfloat16 `NpzStore` knows it."""
    if not isinstance(dtype, np.dtype):
        return False
    is_jax_only = dtype.isbuiltin == 2
    return dtype == jnp.bfloat16 or (dtype.kind in "biufc" and not is_jax_only)


def write_msgpack(
    store: VariableStore, target: str, stream: BinaryIO, _compressed: bool, tell: Tell
) -> None:
    """Write the bytes that ``flax.serialization.to_bytes`` gives for the nested dict.

    Raises:
      UnsupportedLeafError: MessagePack cannot hold a value.
    """
    _pack_node(
        store, {name: store.spec(name) for name in store.collections()}, (), target, stream, tell
    )


def _pack_node(
    store: VariableStore, spec: Any, names: Names, target: str, stream: BinaryIO, tell: Tell
) -> None:
    import msgpack  # type: ignore[import-untyped]

    if not isinstance(spec, dict):
        value = store.get(names[0], names[1:])
        stream.write(_packed(value, names, target))
        tell(sum(map(nbytes, jax.tree.leaves(spec))))
        return
    stream.write(msgpack.Packer().pack_map_header(len(spec)))
    seen: dict[str, Any] = {}
    for name, child in spec.items():
        text = str(name)
        if not is_text(text):
            raise UnencodableNameError(target, (*names, text))
        if text in seen:
            raise NameCollisionError(target, text, (*names, repr(seen[text])), (*names, repr(name)))
        seen[text] = name
        stream.write(msgpack.packb(text))
        _pack_node(store, child, (*names, name), target, stream, tell)


def _packed(value: Any, names: Names, target: str) -> bytes:
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedLeafError(target, names, MASKED)
    try:
        return to_bytes(value)
    except UnsupportedStateError as error:
        raise UnsupportedLeafError(target, names, error.found, "msgpack") from error


def _named(
    target: str,
    found: list[Stored],
    kind: str,
    separator: str,
) -> Iterator[tuple[str, Stored]]:
    """Yield each array with its one name in a format without nesting.

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


def _described(spec: Any) -> str:
    return str(spec.dtype) if is_array_spec(spec) else render_spec(spec)


def _host_array(store: VariableStore, one: Stored, target: str) -> np.ndarray[Any, Any]:
    value = read_array(store, one)
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedLeafError(target, one.names, MASKED)
    return np.asarray(value)
