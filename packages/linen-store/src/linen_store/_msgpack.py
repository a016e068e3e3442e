"""Trees of arrays as MessagePack, byte for byte as flax writes them.

Extension type 1 is an array and 3 a numpy scalar: a MessagePack list of shape, dtype name and
row-major bytes. Extension type 2 is a complex number: a list of its parts. An array of more than
`MAX_CHUNK_SIZE` bytes is a map of its shape and of flat pieces, because MessagePack holds no more
than 4 GiB in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.errors import BadMsgpackError, UnsupportedStateError

__all__ = ["MAX_CHUNK_SIZE", "msgpack_restore", "msgpack_serialize"]

MAX_CHUNK_SIZE = 2**30
"""Arrays of more bytes than this are written in pieces of this size."""

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3
_CHUNKED = "__msgpack_chunked_array__"


def msgpack_serialize(pytree: Any, in_place: bool = False) -> bytes:
    """Serialise nested dicts and lists of arrays, numbers, strings and bytes.

    Args:
      pytree: the tree.
      in_place: whether dicts are written in their own order, not in that of sorted keys. (In flax
        this lets the tree be changed as well; here it never is.)

    Raises:
      UnsupportedStateError: a value is none of these.

    Example:
      >>> msgpack_restore(msgpack_serialize({"a": np.arange(3, dtype=np.int8)}))
      {'a': array([0, 1, 2], dtype=int8)}
    """
    import msgpack  # type: ignore[import-untyped]

    ordered = pytree if in_place else jax.tree_util.tree_map(lambda leaf: leaf, pytree)
    packed: bytes = msgpack.packb(_prepared(ordered), default=_pack, strict_types=True)
    return packed


def _prepared(tree: Any) -> Any:
    """Cut large arrays up, wherever a path of dicts leads to them."""
    if isinstance(tree, dict):
        return {name: _prepared(child) for name, child in tree.items()}
    if isinstance(tree, jax.Array) and _is_plain(tree):
        tree = np.asarray(tree)
    if isinstance(tree, np.ndarray) and tree.nbytes > MAX_CHUNK_SIZE:
        return _chunked(tree)
    return tree


def _is_plain(array: jax.Array) -> bool:
    return not jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _chunked(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    size = max(1, MAX_CHUNK_SIZE // array.dtype.itemsize)
    flat = array.reshape(-1)
    pieces = [flat[start : start + size] for start in range(0, flat.size, size)]
    return {_CHUNKED: True, "shape": _numbered(array.shape), "chunks": _numbered(pieces)}


def _numbered(items: Any) -> dict[str, Any]:
    return {str(index): item for index, item in enumerate(items)}


def _pack(value: Any) -> Any:
    import msgpack

    if isinstance(value, jax.Array | np.ndarray):
        return msgpack.ExtType(_ARRAY, _array_bytes(value))
    if isinstance(value, np.generic):
        return msgpack.ExtType(_SCALAR, _array_bytes(np.asarray(value)))
    if isinstance(value, complex):
        return msgpack.ExtType(_COMPLEX, msgpack.packb((value.real, value.imag)))
    found = f"a {type(value).__name__}"
    raise UnsupportedStateError(found)


def _array_bytes(value: Any) -> bytes:
    import msgpack

    if isinstance(value, jax.Array) and not _is_plain(value):
        found = "a PRNG key; take its `jax.random.key_data`"
        raise UnsupportedStateError(found)
    array = np.asarray(value)
    if array.dtype.hasobject or array.dtype.isalignedstruct:
        found = f"a numpy array of {array.dtype}"
        raise UnsupportedStateError(found)
    packed: bytes = msgpack.packb(
        (array.shape, array.dtype.name, array.tobytes("C")), use_bin_type=True
    )
    return packed


def msgpack_restore(encoded_pytree: bytes) -> Any:
    """Restore the tree that `msgpack_serialize`, or flax, wrote.

    Returns:
      Nested dicts and lists, with numpy arrays that cannot be written to.

    Raises:
      BadMsgpackError: the bytes are damaged, or no such tree.

    Example:
      >>> msgpack_restore(msgpack_serialize({"w": np.arange(2)}))
      {'w': array([0, 1])}
    """
    import msgpack

    try:
        tree = msgpack.unpackb(encoded_pytree, ext_hook=_unpack, raw=False, strict_map_key=False)
        return _joined(tree)
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadMsgpackError(reason) from error


def _unpack(code: int, data: bytes) -> Any:
    import msgpack

    if code == _ARRAY:
        return _array(data)
    if code == _SCALAR:
        return _array(data)[()]
    if code == _COMPLEX:
        real, imaginary = msgpack.unpackb(data)
        return complex(real, imaginary)
    return msgpack.ExtType(code, data)


def _array(data: bytes) -> np.ndarray[Any, Any]:
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
    """Put the pieces of large arrays together."""
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
