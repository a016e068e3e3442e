"""The file ``checkpoint`` of early Orbax and of T5X: small values, and where the arrays lie.

It is the MessagePack of flax. Values that are not in it are arrays of zarr in the same folder; a
placeholder names them. Orbax writes a string, T5X the specification that tensorstore opens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from linen_store._msgpack import msgpack_restore
from linen_store.errors import BadMsgpackError, DamagedCheckpointError
from linen_store.filesystem.failures import read_failure
from linen_store.reading.tree import IntegerNames, Leaf, Tree

__all__ = [
    "AGGREGATE",
    "Aggregate",
    "is_aggregate",
    "is_msgpack",
    "leaf_of",
    "load_aggregate",
    "tree_of",
]

AGGREGATE = "checkpoint"
"""The name of the file."""

# A map of MessagePack, empty, short, or with a length of 16 or 32 bits, and its first key, a string.
_MSGPACK = re.compile(rb"\x80\Z|(?:[\x81-\x8f]|\xde.{2}|\xdf.{4})[\xa0-\xbf\xd9-\xdb]", re.DOTALL)
_PLACEHOLDER = re.compile(r"(?:PLACEHOLDER|AGGREGATED)://(.*)", re.DOTALL)


class Aggregate(NamedTuple):
    """Content of the file."""

    tree: Tree
    """The leaves by name; those with an array beside the file have its name as ``joined``."""

    values: dict[tuple[str, ...], Any]
    """The values that are in the file itself, by the names of their leaves."""


def is_msgpack(head: bytes) -> bool:
    """Return whether a file that starts so is a map of MessagePack."""
    return _MSGPACK.match(head) is not None


def is_aggregate(folder: str) -> bool:
    """Return whether a folder has such a file: TensorFlow gives a text the same name."""
    try:
        with open(os.path.join(folder, AGGREGATE), "rb") as stream:
            return is_msgpack(stream.read(16))
    except OSError:
        return False


def load_aggregate(folder: str) -> Aggregate:
    """Read the file.

    Raises:
      DamagedCheckpointError: it is damaged.
    """
    file = os.path.join(folder, AGGREGATE)
    try:
        with open(file, "rb") as stream:
            restored = msgpack_restore(stream.read())
    except OSError as error:
        raise read_failure(folder, file, error) from error
    except BadMsgpackError as error:
        raise DamagedCheckpointError(folder, file, error.reason) from error
    values: dict[tuple[str, ...], Any] = {}
    return Aggregate(tree_of(file, restored, values), values)


def tree_of(
    file: str, value: Any, values: dict[tuple[str, ...], Any], names: tuple[str, ...] = ()
) -> Tree:
    """Describe what MessagePack held, and collect the values.

    Raises:
      DamagedCheckpointError: two names of a dict are the same.
    """
    placed = _array_beside(value)
    if placed is not None:
        return Leaf(names, "array", placed)
    if isinstance(value, dict):
        if len(set(map(str, value))) != len(value):
            raise DamagedCheckpointError(file, file, f"{list(value)} are no different names")
        is_integers = bool(value) and all(type(name) is int for name in value)
        return (IntegerNames if is_integers else dict)(
            {
                str(name): tree_of(file, child, values, (*names, str(name)))
                for name, child in value.items()
            }
        )
    if isinstance(value, list):
        return [tree_of(file, one, values, (*names, str(i))) for i, one in enumerate(value)]
    values[names] = value
    return leaf_of(names, value)


def leaf_of(names: tuple[str, ...], value: Any) -> Leaf:
    """Describe a value of MessagePack that is not a container."""
    return Leaf(names, "array" if isinstance(value, np.ndarray) else "scalar")


def _array_beside(value: Any) -> str | None:
    """Return the name of the array of zarr that a value stands for; None for any other value."""
    if isinstance(value, str):
        found = _PLACEHOLDER.fullmatch(value)
        return None if found is None else found[1]
    if not isinstance(value, Mapping) or not str(value.get("driver", "")).startswith("zarr"):
        return None
    kvstore = value.get("kvstore", value)
    path = kvstore.get("path") if isinstance(kvstore, Mapping) else None
    return path.rstrip("/").rpartition("/")[2] if isinstance(path, str) else None
