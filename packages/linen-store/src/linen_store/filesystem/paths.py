"""Paths of checkpoints on this machine, and the identity of the files at them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import unquote

from linen_core.errors import StoreError
from linen_store.errors import CheckpointReplacedError, RemotePathError

__all__ = ["file_identity", "local_path", "opened_whole", "plain_alias"]

T = TypeVar("T")

_ATTEMPTS = 20
"""Replacing a checkpoint takes longer than opening it: so many replacements in a row do not happen."""

# Two letters at least: one is a drive. `pathlib` makes one slash of two.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_FILE_ADDRESS = re.compile(r"file:(?://localhost|//)?(?=/(?!/))", re.IGNORECASE)
"""The part of a local ``file:`` address before the path."""

# Orbax finds its files with a glob pattern that contains the folder. Tensorstore reads a backslash as a slash and
# requires UTF-8.
_MISREAD = re.compile(r"[*?\[\\\ud800-\udfff]")


def local_path(path: str | os.PathLike[str]) -> str:
    """Return the path on this machine that a caller means.

    Every function that takes a path calls this first. ``~`` is the home folder, and a ``file:`` address is the path
    in it. A path that exists literally is returned unchanged.

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
    """Return numbers that change when another file takes the place of a file; None if there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def plain_alias(folder: str) -> Iterator[str]:
    """Yield a path of a folder that other libraries read correctly until the block ends.

    It is the folder's own path if that is safe, else the path of a symbolic link to it.
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


def opened_whole(path: str, attempt: Callable[[], T]) -> T:
    """Open a checkpoint, and again if another process replaced it before it was opened completely.

    Args:
      path: the path. If opening fails and another file is there by then, opening is tried again.
      attempt: opens the checkpoint; raises `CheckpointReplacedError` if its files may be of two checkpoints.

    Raises:
      StoreError: it cannot be opened, and was not replaced.

    Example:
      >>> opened_whole("/nowhere", lambda: 1)
      1
    """
    for _ in range(_ATTEMPTS - 1):
        before = file_identity(path)
        try:
            return attempt()
        except CheckpointReplacedError:
            pass
        except StoreError:
            if file_identity(path) == before:
                raise
    return attempt()
