"""Trees of arrays as MessagePack, byte for byte as flax writes them.

Extension type 1 is an array and 3 a numpy scalar: a MessagePack list of shape, dtype name and
row-major bytes. Extension type 2 is a complex number: a list of its parts. A large array is a
map of its shape and of flat pieces, because MessagePack holds no more than 4 GiB in one piece.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.errors import BadMsgpackError, UnsupportedStateError

__all__ = ["msgpack_restore", "pack_extension", "serialize", "unpack_extension"]

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"
# Errors of numpy and msgpack for damaged bytes; numpy parses names of dtypes.
_BAD_BYTES = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    SyntaxError,
)


def serialize(tree: Any, chunk_bytes: int) -> bytes:
    """Serialise nested dicts and lists, dicts in their own order.

    Args:
      tree: dicts and lists of arrays, numbers, strings and bytes.
      chunk_bytes: arrays of more bytes than this are written in pieces of this size.

    Raises:
      UnsupportedStateError: a value has another type.
    """
    import msgpack  # type: ignore[import-untyped]

    packed: bytes = msgpack.packb(
        _prepared(tree, chunk_bytes), default=pack_extension, strict_types=True
    )
    return packed


def _prepared(tree: Any, chunk_bytes: int) -> Any:
    """Split large arrays that a path of dicts leads to."""
    if isinstance(tree, dict):
        return {name: _prepared(child, chunk_bytes) for name, child in tree.items()}
    if isinstance(tree, jax.Array) and _is_plain(tree):
        tree = np.asarray(tree)
    if isinstance(tree, np.ndarray) and tree.nbytes > chunk_bytes:
        return _chunked(tree, chunk_bytes)
    return tree


def _is_plain(array: jax.Array) -> bool:
    return not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _chunked(array: np.ndarray[Any, Any], chunk_bytes: int) -> dict[str, Any]:
    size = max(1, chunk_bytes // array.dtype.itemsize)
    flat = array.reshape(-1)
    pieces = [flat[start : start + size] for start in range(0, flat.size, size)]
    return {_CHUNKED: True, "shape": _numbered(array.shape), "chunks": _numbered(pieces)}


def _numbered(items: Any) -> dict[str, Any]:
    return {str(index): item for index, item in enumerate(items)}


def pack_extension(value: Any) -> Any:
    """Convert an array, numpy scalar or complex number to an extension type of MessagePack.

    Raises:
      UnsupportedStateError: the value is something else.

    Example:
      >>> pack_extension(np.zeros(2, np.int8)).code
      1
    """
    import msgpack

    if isinstance(value, jax.Array | np.ndarray):
        return msgpack.ExtType(_ARRAY, _array_bytes(value))
    if isinstance(value, np.generic):
        return msgpack.ExtType(_SCALAR, _array_bytes(np.asarray(value)))
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, msgpack.packb((value.real, value.imag)))
    if isinstance(value, int):
        found = "an integer of more than 64 bits"
        raise UnsupportedStateError(found)
    found = f"a {type(value).__name__}"
    if hasattr(value, "unfreeze"):
        raise UnsupportedStateError(found, "Pass its `unfreeze()`, or use `to_bytes`.")
    if isinstance(value, tuple) or dataclasses.is_dataclass(value):
        raise UnsupportedStateError(found, "Use `to_bytes`, which makes a state dict of it first.")
    if isinstance(value, dict):
        raise UnsupportedStateError(found, "Pass `dict` of it.")
    raise UnsupportedStateError(found)


def _array_bytes(value: Any) -> bytes:
    import msgpack

    if isinstance(value, jax.Array) and not _is_plain(value):
        found = "a PRNG key; take its `jax.random.key_data`"
        raise UnsupportedStateError(found)
    array = np.asarray(value)
    if array.dtype.hasobject or not _has_name(array.dtype.name):
        found = f"a numpy array of {array.dtype}"
        raise UnsupportedStateError(found)
    # The name of a dtype does not contain the byte order: readers assume that of the machine.
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    packed: bytes = msgpack.packb(
        (array.shape, array.dtype.name, array.tobytes("C")), use_bin_type=True
    )
    return packed


def _has_name(name: str) -> bool:
    """Return whether the name of a dtype determines it, which is not so for text and records."""
    try:
        jnp.dtype(name)
    except TypeError:
        return False
    return True


def msgpack_restore(encoded_pytree: bytes) -> Any:
    r"""Restore the tree that `msgpack_serialize`, or flax, wrote.

    Returns:
      Nested dicts and lists, with numpy arrays that cannot be written to.

    Raises:
      BadMsgpackError: the bytes are damaged, or of another format.

    Example:
      >>> msgpack_restore(b"\x81\xa1w\x01")
      {'w': 1}
    """
    import msgpack

    try:
        tree = msgpack.unpackb(
            encoded_pytree, ext_hook=unpack_extension, raw=False, strict_map_key=False
        )
        return _joined(tree)
    except _BAD_BYTES as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadMsgpackError(reason) from error


def unpack_extension(code: int, data: bytes) -> Any:
    """Convert an extension type of MessagePack to the value that `pack_extension` got.

    Example:
      >>> unpack_extension(*pack_extension(np.zeros(2, np.int8))).tolist()
      [0, 0]
    """
    import msgpack

    if code == _ARRAY:
        return _unpacked_array(data)
    if code == _SCALAR:
        return _unpacked_array(data)[()]
    if code == _COMPLEX:
        real, imaginary = msgpack.unpackb(data)
        return complex(real, imaginary)
    return msgpack.ExtType(code, data)


def _unpacked_array(data: bytes) -> np.ndarray[Any, Any]:
    import msgpack

    shape, name, raw = msgpack.unpackb(data, raw=True)
    dtype = np.dtype(jnp.dtype(name.decode()))
    if dtype.hasobject:
        msg = f"an array of {dtype}"
        raise ValueError(msg)
    if math.prod(shape) * dtype.itemsize != len(raw):
        msg = f"an array of shape {tuple(shape)} and {dtype} has {len(raw)} bytes"
        raise ValueError(msg)
    array: np.ndarray[Any, Any] = np.frombuffer(raw, dtype).reshape(shape)
    return array


def _joined(tree: Any) -> Any:
    """Join the pieces of large arrays."""
    if not isinstance(tree, dict):
        return tree
    if _CHUNKED not in tree:
        return {name: _joined(child) for name, child in tree.items()}
    shape = tuple(_unnumbered(tree["shape"]))
    pieces = _unnumbered(tree["chunks"])
    if math.prod(shape) != sum(piece.size for piece in pieces):
        msg = f"the pieces of an array of shape {shape} do not fill it"
        raise ValueError(msg)
    return np.concatenate(pieces).reshape(shape)


def _unnumbered(items: Mapping[str, Any]) -> list[Any]:
    return [items[str(index)] for index in range(len(items))]
