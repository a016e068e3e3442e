"""Paths of checkpoints: local ones only."""

from __future__ import annotations

import os
import re

from linen_store.errors import RemotePathError

__all__ = ["local_path"]

# Two letters at least: one is a drive. `pathlib` makes one slash of two.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(path: str | os.PathLike[str]) -> str:
    """Give a path as a string.

    Raises:
      RemotePathError: it is the address of an object store.
    """
    where = os.fspath(path)
    if _REMOTE.match(where) and not os.path.lexists(where):
        raise RemotePathError(where)
    return where
