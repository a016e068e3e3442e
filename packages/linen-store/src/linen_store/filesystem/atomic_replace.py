"""Replaces a file or folder in one step, and removes the staging directories of writers that died."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

from linen_store.errors import CheckpointExistsError, UnwritablePathError

__all__ = [
    "backup_path",
    "is_staging",
    "original_name",
    "publish",
    "staging_directory",
    "staging_folders",
    "sync_files",
]

_PREFIX = ".linen-saving-"
_RANDOM = 8
"""Number of random characters that `tempfile` appends to the prefix."""
_BACKUP = re.compile(r"\.(.+)\.linen-old", re.DOTALL)
_REMOVALS = 50
_PAUSE = 0.1
"""Seconds between two attempts to remove a folder."""

_NAME_BYTES = 100
_INNER_BYTES = 300
"""No path in the staging directory is longer than its parent's by more than this."""
_AT_FDCWD = -100
_EXCHANGE = 2
"""Both ``RENAME_EXCHANGE`` of Linux and ``RENAME_SWAP`` of macOS."""


def backup_path(path: str) -> str:
    """Return the temporary path of the old folder, for systems that cannot exchange two folders in one step."""
    parent, name = os.path.split(os.path.normpath(path))
    return os.path.join(parent, f".{name}.linen-old")


def original_name(name: str) -> str | None:
    """Return the name of the folder whose backup has a name; None if it is not the name of a backup."""
    match = _BACKUP.fullmatch(name)
    return None if match is None else match[1]


def is_staging(name: str) -> bool:
    """Return whether a name is that of a staging directory."""
    return name.startswith(_PREFIX)


def staging_folders(path: str) -> list[str]:
    """List the staging directories of a path, also those of processes that died."""
    parent, name = os.path.split(os.path.abspath(path))
    prefix = _staging_prefix(name)
    try:
        found = sorted(os.listdir(parent))
    except OSError:  # a user may have the right to write there but not to list
        return []
    whole = len(prefix) + _RANDOM
    return [
        os.path.join(parent, one) for one in found if one.startswith(prefix) and len(one) == whole
    ]


def _staging_prefix(name: str) -> str:
    return f"{_PREFIX}{os.fsencode(name)[:_NAME_BYTES].decode(errors='ignore')}-"


@contextlib.contextmanager
def staging_directory(path: str) -> Iterator[str]:
    """Make a temporary directory beside a path, on the same disk, and remove it at the end.

    Directories of killed writers are removed too. A living writer holds a lock on its own.

    Raises:
      UnwritablePathError: the directory cannot be made or written, or the file system does not accept the path.
    """
    _check_path(path)
    parent, name = os.path.split(path)
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(parent, exist_ok=True)
            _remove_abandoned(path)
            is_ours = False
            while not is_ours:
                folder = tempfile.mkdtemp(prefix=_staging_prefix(name), dir=parent)
                stack.push(functools.partial(_remove_staging, folder))
                # Before it is locked, another writer may remove the new directory as an abandoned one.
                is_ours = stack.enter_context(_locked(folder)) and os.path.isdir(folder)
        except OSError as error:
            reason = f"{parent!r}: {error.strerror or error}"
            raise UnwritablePathError(path, reason, error.errno) from error
        yield folder


def _remove_staging(folder: str, failure: object, *_details: object) -> None:
    """Remove a folder. After a failure, a thread of Orbax may still write to it for a moment, and make it again."""
    for _ in range(_REMOVALS):
        may_come_back = failure is not None and os.path.lexists(folder)
        shutil.rmtree(folder, ignore_errors=True)
        if not may_come_back and not os.path.lexists(folder):
            return
        time.sleep(_PAUSE)


def _check_path(path: str) -> None:
    """Raise before anything is written if the file system does not accept the path."""
    try:
        raw = os.fsencode(path)
        if b"\0" in raw:
            raise UnwritablePathError(path, "there is a null character in it")
        if hasattr(os, "pathconf"):
            parent = os.path.dirname(path)
            while not os.path.isdir(parent):
                parent = os.path.dirname(parent)
            longest = max(map(len, raw.split(b"/")))
            most = os.pathconf(parent, "PC_NAME_MAX")
            if longest > most:
                reason = f"a name in it has {longest} bytes, the file system takes {most}"
                raise UnwritablePathError(path, reason)
            most = os.pathconf(parent, "PC_PATH_MAX") - _INNER_BYTES
            if len(os.path.dirname(raw)) > most:
                reason = f"it is too long: the folder may have {most} bytes at most"
                raise UnwritablePathError(path, reason)
    except UnicodeEncodeError as error:
        raise UnwritablePathError(path, f"it cannot be encoded: {error.reason}") from error


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Lock a directory until the block or the process ends; yield False if another process holds the lock."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):  # it was removed, or is another user's
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _remove_abandoned(path: str) -> None:
    for folder in staging_folders(path) if sys.platform != "win32" else ():
        with _locked(folder) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


def publish(finished: str, path: str, *, overwrite: bool) -> None:
    """Move a finished file or folder to a path; with ``overwrite`` exchange it with the one that is there.

    Raises:
      CheckpointExistsError: something is at the path, and ``overwrite`` is False.
    """
    try:
        if overwrite and os.path.isfile(finished):
            os.replace(finished, path)
        elif overwrite and os.path.lexists(path):
            _exchange(finished, path)
        elif os.path.isfile(finished):
            # Renaming would silently replace a file that another writer put there meanwhile.
            _link(finished, path)
        else:
            os.rename(finished, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise CheckpointExistsError(path) from error
        raise
    _sync(os.path.dirname(path))
    shutil.rmtree(backup_path(path), ignore_errors=True)


def _link(finished: str, path: str) -> None:
    try:
        os.link(finished, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        # The file system has no hard links.
        if os.path.lexists(path):
            raise CheckpointExistsError(path) from error
        os.rename(finished, path)


def _exchange(finished: str, path: str) -> None:
    exchange = _system_exchange()
    if exchange is not None and exchange(os.fsencode(finished), os.fsencode(path)) == 0:
        return
    backup = backup_path(path)
    shutil.rmtree(backup, ignore_errors=True)
    os.rename(path, backup)
    try:
        os.rename(finished, path)
    except OSError:
        os.rename(backup, path)
        raise


def _system_exchange() -> Callable[[bytes, bytes], int] | None:
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None), "renameat2", None)
        if rename is not None:
            return lambda one, other: int(rename(_AT_FDCWD, one, _AT_FDCWD, other, _EXCHANGE))
    if sys.platform == "darwin":
        rename = getattr(ctypes.CDLL(None), "renamex_np", None)
        if rename is not None:
            return lambda one, other: int(rename(one, other, _EXCHANGE))
    return None


def sync_files(folder: str) -> None:
    """Wait until every file and folder below a folder is on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(os.path.join(parent, name))
        _sync(parent)


def _sync(path: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
