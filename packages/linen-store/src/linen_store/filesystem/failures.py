"""Which error a failure of the system becomes: the checkpoint is damaged, or the system refused."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from linen_core.errors import StoreError
from linen_store.errors import (
    DamagedCheckpointError,
    ReadFailedError,
    ReadPermissionError,
    SaveFailedError,
)

__all__ = ["check_readable", "exists", "read_failure", "save_failures", "system_errno"]

_TENSORSTORE_CODE = re.compile(r"os_error_code='(\d+)'")
_TENSORSTORE_FILE = re.compile(r'"(/[^"]+)"')
_LONGEST_REASON = 300

# Of a file that is missing, or is a folder or a link to itself, the checkpoint is to blame.
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENAMETOOLONG}
_PERMISSION = {errno.EACCES, errno.EPERM}


def read_failure(
    path: str, file: str, error: BaseException, leaf: Sequence[str] | None = None
) -> StoreError:
    """Make the error for a file of a checkpoint that could not be read.

    Args:
      path: the checkpoint.
      file: the file that was read.
      error: what reading it raised.
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
    return DamagedCheckpointError(path, file, reason, leaf)


def _refused_file(error: BaseException | None) -> str | None:
    """Find the file that the system refused, where the error names it; tensorstore's names it last."""
    while error is not None:
        named = [getattr(error, "filename", None), *_TENSORSTORE_FILE.findall(str(error))[::-1]]
        for file in named:
            if isinstance(file, str) and os.path.lexists(file):
                return file
        error = error.__cause__
    return None


def exists(path: str) -> bool:
    """Return whether something is at a path, a broken link too.

    Raises:
      ReadFailedError: the system does not say, for example because a folder above may not be searched.
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


def check_readable(folder: str, names: Iterable[str]) -> None:
    """Check that the files and folders in a folder may be read.

    Raises:
      ReadFailedError: the system refuses one of them.
    """
    for name in names:
        path = os.path.join(folder, name)
        try:
            if os.path.isdir(path):
                os.listdir(path)
            elif os.path.isfile(path):
                with open(path, "rb"):
                    pass
        except OSError as error:
            raise read_failure(folder, path, error) from error


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


def system_errno(error: BaseException | None) -> int | None:
    """Find the system's error number in an error or in what caused it; None where there is none.

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
