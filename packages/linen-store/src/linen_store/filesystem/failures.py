"""Reports failures of the system: as damage of a checkpoint, or as a refusal of the system."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from linen_core.errors import StoreError
from linen_store.errors import (
    BadMsgpackError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    ReadFailedError,
    ReadPermissionError,
    SaveFailedError,
    StepRemovalError,
)
from linen_store.filesystem.paths import local_path

__all__ = [
    "check_readable",
    "exists",
    "first_bytes",
    "listed",
    "read_errors",
    "read_failure",
    "removal_failures",
    "save_failures",
    "system_errno",
]

_TENSORSTORE_CODE = re.compile(r"os_error_code='(\d+)'")
_TENSORSTORE_FILE = re.compile(r'"(/[^"]+)"')
_LONGEST_REASON = 300

# These mean damage of the checkpoint: a file is missing, or is a folder or a link to itself.
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG}
_PERMISSION = {errno.EACCES, errno.EPERM}


def read_failure(
    path: str, file: str, error: BaseException, leaf: Sequence[str] | None = None
) -> StoreError:
    """Return the error for a file of a checkpoint that could not be read.

    Args:
      path: the checkpoint.
      file: the file that was read.
      error: the error that reading it raised.
      leaf: names of the leaf that was read.

    Example:
      >>> read_failure("/c", "/c/d", PermissionError(13, "Permission denied")).errno
      13
      >>> read_failure("/c", "/c/d", ValueError("no JSON")).reason
      'ValueError: no JSON'
    """
    number = system_errno(error)
    if number is not None and number not in _DAMAGE:
        kind = ReadPermissionError if number in _PERMISSION else ReadFailedError
        return kind(path, _refused_file(error) or file, number, leaf)
    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    if isinstance(error, EOFError):
        reason = str(error)
    if isinstance(error, BadMsgpackError):
        reason = error.reason
    return DamagedCheckpointError(path, file, reason, leaf)


def _refused_file(error: BaseException | None) -> str | None:
    """Return the file that the system refused, if the error names it; errors of tensorstore name it last."""
    while error is not None:
        named = [getattr(error, "filename", None), *_TENSORSTORE_FILE.findall(str(error))[::-1]]
        for file in named:
            if isinstance(file, str) and os.path.lexists(file):
                return file
        error = error.__cause__
    return None


def exists(path: str) -> bool:
    """Return whether something is at a path. A broken link is something.

    Raises:
      ReadFailedError: the system does not tell, for example because a folder above may not be searched.
    """
    try:
        os.lstat(path)
    except ValueError:  # there is a null character in it
        return False
    except OSError as error:
        if error.errno in _DAMAGE:
            return False
        raise read_failure(path, path, error) from error
    return True


@contextlib.contextmanager
def read_errors(
    path: str,
    file: str | None = None,
    damage: tuple[type[Exception], ...] = (),
    leaf: Sequence[str] | None = None,
) -> Iterator[None]:
    """Report errors while a file is read as a missing, refused or damaged checkpoint.

    Args:
      path: the checkpoint.
      file: the file, if it is a part of the checkpoint. If it is missing, the checkpoint is damaged.
      damage: errors that mean damage, beside `OSError`.
      leaf: names of the leaf that is read.

    Raises:
      CheckpointNotFoundError: the checkpoint does not exist.
      DamagedCheckpointError: the block raised one of these errors.
      ReadFailedError: the system refuses to read the file.

    Example:
      >>> with read_errors("/nowhere"), open("/nowhere"):
      ...     pass
      Traceback (most recent call last):
        ...
      linen_store.errors.CheckpointNotFoundError: Cannot open '/nowhere': nothing is there. Check the path.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, StoreError) or not isinstance(error, (OSError, *damage)):
            raise
        if file is None and isinstance(error, FileNotFoundError):
            raise CheckpointNotFoundError(path) from error
        raise read_failure(path, file or path, error, leaf) from error


def first_bytes(path: str) -> bytes:
    """Return the first 16 bytes of a file; none for a folder, and where nothing is.

    Raises:
      ReadFailedError: the system refuses to read the file.
    """
    where = local_path(path)
    if os.path.isdir(where) or not exists(where):
        return b""
    with read_errors(where, where), open(where, "rb") as stream:
        return stream.read(16)


def listed(folder: str) -> list[str]:
    """List the names in a folder, sorted.

    Raises:
      ReadFailedError: the folder cannot be read.
      DamagedCheckpointError: it is not a folder.
    """
    with read_errors(folder, folder):
        return sorted(os.listdir(folder))


def check_readable(folder: str, names: Iterable[str]) -> None:
    """Check that the files and folders in a folder may be read.

    Raises:
      ReadFailedError: the system refuses one of them.
    """
    for name in names:
        path = os.path.join(folder, name)
        with read_errors(folder, path):
            if os.path.isdir(path):
                os.listdir(path)
            elif os.path.isfile(path):
                with open(path, "rb"):
                    pass


@contextlib.contextmanager
def save_failures(path: str, kind: type[Exception] = OSError) -> Iterator[None]:
    """Report failures while a path is written as `SaveFailedError`.

    Raises:
      SaveFailedError: the block raised an error of that kind, and not one of a store.
    """
    try:
        yield
    except StoreError:
        raise
    except kind as error:
        number = system_errno(error)
        reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
        raise SaveFailedError(
            path, reason if number is None else os.strerror(number), number
        ) from error


@contextlib.contextmanager
def removal_failures(path: str, old: str) -> Iterator[None]:
    """Report that an old checkpoint cannot be removed, after another was saved.

    Args:
      path: the checkpoint that was saved.
      old: the checkpoint that is removed.

    Raises:
      StepRemovalError: the block raised an error of the system.
    """
    try:
        yield
    except OSError as error:
        raise StepRemovalError(path, old, error.strerror or str(error), error.errno) from error


def system_errno(error: BaseException | None) -> int | None:
    """Return the system's number of an error, or of one of its causes; None if there is none.

    Example:
      >>> system_errno(ValueError("Failed to write: No space left [os_error_code='28']"))
      28
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        code = _TENSORSTORE_CODE.search(str(error))
        if code:
            return int(code[1])
        error = error.__cause__
    return None
