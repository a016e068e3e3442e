"""Paths of checkpoints: local ones only, and whether what lies there is still the same."""

from __future__ import annotations

import os
import re

from linen_store.errors import RemotePathError

__all__ = ["file_identity", "local_path"]

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


def file_identity(file: str) -> tuple[int, ...] | None:
    """Give what tells a file from another that took its place; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
