"""The ``.index.json`` of a model in several files: the file of each array."""

from __future__ import annotations

import json
import os

from linen_store.errors import UnsafeNameError
from linen_store.filesystem.failures import read_errors

__all__ = ["read_index"]


def read_index(index: str) -> dict[str, str]:
    """Return the path of the file of each array, by its name.

    Raises:
      CheckpointNotFoundError: the index does not exist.
      DamagedCheckpointError: it is damaged.
      UnsafeNameError: it names a file outside its folder.
    """
    damage = (ValueError, KeyError, TypeError, AttributeError)
    with read_errors(index, damage=damage), open(index, "rb") as stream:
        placed = {str(name): str(file) for name, file in json.load(stream)["weight_map"].items()}
    for name, file in placed.items():
        if file != os.path.basename(file) or file in ("", ".", "..") or "\0" in file:
            raise UnsafeNameError(index, (name,))
    folder = os.path.dirname(index)
    return {name: os.path.join(folder, file) for name, file in placed.items()}
