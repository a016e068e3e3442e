"""The file ``checkpoint`` of early Orbax and of T5X: small values, and the names of the arrays beside it."""

from __future__ import annotations

import os
from typing import Any

from linen_store._msgpack import msgpack_restore
from linen_store.errors import BadMsgpackError
from linen_store.filesystem.failures import read_errors
from linen_store.formats.msgpack_tree import is_msgpack, tree_of
from linen_store.reading.tree import Tree

__all__ = ["AGGREGATE", "is_aggregate", "load_aggregate"]

AGGREGATE = "checkpoint"
"""The name of the file."""


def is_aggregate(folder: str) -> bool:
    """Return whether a folder has such a file. TensorFlow writes a text file of the same name."""
    try:
        with open(os.path.join(folder, AGGREGATE), "rb") as stream:
            return is_msgpack(stream.read(16))
    except OSError:
        return False


def load_aggregate(folder: str) -> tuple[Tree, dict[tuple[str, ...], Any]]:
    """Read the file.

    Returns:
      The leaves by name, and the values in the file itself by the names of their leaves. The ``joined`` of a leaf whose
      array lies beside the file is the array's name.

    Raises:
      DamagedCheckpointError: it is damaged.
    """
    file = os.path.join(folder, AGGREGATE)
    with read_errors(folder, file, (BadMsgpackError,)), open(file, "rb") as stream:
        restored = msgpack_restore(stream.read())
    values: dict[tuple[str, ...], Any] = {}
    return tree_of(file, restored, values), values
