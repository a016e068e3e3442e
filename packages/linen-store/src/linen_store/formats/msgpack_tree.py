"""Trees that MessagePack holds, and placeholders in them for arrays that lie elsewhere.

Early Orbax and T5X write the file ``checkpoint`` in this format. Its large arrays are zarr arrays in the same folder,
and a placeholder names them: a string in Orbax, in T5X the specification that tensorstore opens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from linen_store.errors import DamagedCheckpointError
from linen_store.reading.tree import IntegerNames, Leaf, Tree

__all__ = ["is_msgpack", "leaf_of", "tree_of"]

# A map of MessagePack, empty, short, or with a length of 16 or 32 bits, and its first key, a string.
_MSGPACK = re.compile(rb"\x80\Z|(?:[\x81-\x8f]|\xde.{2}|\xdf.{4})[\xa0-\xbf\xd9-\xdb]", re.DOTALL)
_PLACEHOLDER = re.compile(r"(?:PLACEHOLDER|AGGREGATED)://(.*)", re.DOTALL)


def is_msgpack(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a map of MessagePack."""
    return _MSGPACK.match(head) is not None


def tree_of(
    file: str, value: Any, values: dict[tuple[str, ...], Any], names: tuple[str, ...] = ()
) -> Tree:
    """Describe a tree that was read, and add its values to a dict.

    Args:
      file: the file, for the error.
      value: the tree.
      values: the dict, by the names of the leaves. A leaf whose array lies elsewhere gets no entry; its ``joined`` is
        the name of the array.
      names: the names that lead to the tree.

    Raises:
      DamagedCheckpointError: two names of a dict are the same.
    """
    elsewhere = _array_elsewhere(value)
    if elsewhere is not None:
        return Leaf(names, "array", elsewhere)
    if isinstance(value, dict):
        if len(set(map(str, value))) != len(value):
            raise DamagedCheckpointError(file, file, f"{list(value)} are not different names")
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


def _array_elsewhere(value: Any) -> str | None:
    """Return the name of the zarr array that a placeholder names; None for any other value."""
    if isinstance(value, str):
        found = _PLACEHOLDER.fullmatch(value)
        return None if found is None else found[1]
    if not isinstance(value, Mapping) or not str(value.get("driver", "")).startswith("zarr"):
        return None
    kvstore = value.get("kvstore", value)
    path = kvstore.get("path") if isinstance(kvstore, Mapping) else None
    return path.rstrip("/").rpartition("/")[2] if isinstance(path, str) else None
