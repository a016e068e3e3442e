"""Paths of checkpoints: made plain, local ones only, and whether what lies there is still the same."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from urllib.parse import unquote

from linen_store.errors import RemotePathError

__all__ = ["file_identity", "local_path", "plain_alias"]

# Two letters at least: one is a drive. `pathlib` makes one slash of two.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_FILE_ADDRESS = re.compile(r"file:(?://localhost|//)?(?=/(?!/))", re.IGNORECASE)
"""The part of a ``file:`` address of this machine that precedes the path."""

# Orbax looks for its own files by a pattern that has the folder in it, and tensorstore takes a
# backslash for a slash and wants UTF-8.
_MISREAD = re.compile(r"[*?\[\\\ud800-\udfff]")


def local_path(path: str | os.PathLike[str]) -> str:
    """Return the plain path of this machine that a caller means.

    Every function that takes a path calls this first. ``~`` is the home folder, and a ``file:``
    address the path in it. What exists under the literal path is taken as it is.

    Raises:
      RemotePathError: it is the address of an object store.

    Example:
      >>> local_path("file:///tmp/my%20model")
      '/tmp/my model'
    """
    where = os.fsdecode(path)
    if os.path.lexists(where):
        return where
    if where.startswith("~"):
        return os.path.expanduser(where)
    address = _FILE_ADDRESS.match(where)
    if address is not None:
        return unquote(where[address.end() :])
    if _REMOTE.match(where):
        raise RemotePathError(where)
    return where


def file_identity(file: str) -> tuple[int, ...] | None:
    """Give what tells a file from another that took its place; None where there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def plain_alias(folder: str) -> Iterator[str]:
    """Give a folder a path that other libraries take as it stands, until the block ends.

    It is the folder's own where nothing in it could be misread, else that of a symbolic link.
    """
    if os.sep != "/" or not _MISREAD.search(os.path.abspath(folder)):
        yield folder
        return
    links = tempfile.mkdtemp(prefix="linen-store-")
    try:
        alias = os.path.join(links, "folder")
        os.symlink(os.path.abspath(folder), alias, target_is_directory=True)
        yield alias
    finally:
        shutil.rmtree(links, ignore_errors=True)
