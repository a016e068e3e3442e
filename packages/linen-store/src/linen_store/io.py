"""Operations on local files, with the names of ``flax.io``.

flax uses TensorFlow for them if it is installed, also for remote paths. Here a remote path is an error.
"""

from __future__ import annotations

import contextlib
import enum
import glob as glob_files
import os
import shutil
from collections.abc import Iterator
from typing import IO, Any

from linen_core.errors import AlreadyExistsError
from linen_store.filesystem.paths import local_path

__all__ = [
    "BackendMode",
    "GFile",
    "NotFoundError",
    "copy",
    "exists",
    "getsize",
    "glob",
    "io_mode",
    "isdir",
    "listdir",
    "makedirs",
    "override_mode",
    "remove",
    "rename",
    "rmtree",
    "set_mode",
]

NotFoundError = FileNotFoundError
"""Raised for a file or folder that does not exist."""


class BackendMode(enum.Enum):
    """The library that runs the operations.

    Example:
      >>> io_mode
      <BackendMode.DEFAULT: 0>
    """

    DEFAULT = 0
    """Python's own functions."""
    TF = 1
    """TensorFlow, which Linen does not use."""


io_mode = BackendMode.DEFAULT


def set_mode(override: BackendMode) -> None:
    """Accept the only mode that Linen has, `BackendMode.DEFAULT`.

    Raises:
      ValueError: it is another one.

    Example:
      >>> set_mode(BackendMode.DEFAULT)
    """
    if override is not BackendMode.DEFAULT:
        msg = f"Linen has no backend {override}. Use BackendMode.DEFAULT, and tensorflow.io.gfile for remote paths."
        raise ValueError(msg)


@contextlib.contextmanager
def override_mode(override: BackendMode) -> Iterator[None]:
    """Do what `set_mode` does, for the length of a `with` block.

    Example:
      >>> with override_mode(BackendMode.DEFAULT):
      ...     exists("/")
      True
    """
    set_mode(override)
    yield


def GFile(name: str | os.PathLike[str], mode: str) -> IO[Any]:  # noqa: N802 - the name in flax
    """Open a file; text is UTF-8.

    Example:
      >>> import tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "notes.txt")
      >>> with GFile(path, "w") as file:
      ...     file.write("done")
      4
    """
    return open(local_path(name), mode, encoding=None if "b" in mode else "utf-8")


def listdir(path: str | os.PathLike[str]) -> list[str]:
    """List the names in a folder.

    Example:
      >>> import tempfile
      >>> listdir(tempfile.mkdtemp())
      []
    """
    return os.listdir(local_path(path))


def isdir(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of a folder.

    Example:
      >>> isdir("/")
      True
    """
    return os.path.isdir(local_path(path))


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a file or folder exists.

    Example:
      >>> exists("/")
      True
    """
    return os.path.exists(local_path(path))


def getsize(path: str | os.PathLike[str]) -> int:
    """Return the number of bytes of a file.

    Example:
      >>> import tempfile
      >>> getsize(tempfile.mkstemp()[1])
      0
    """
    return os.path.getsize(local_path(path))


def glob(pattern: str | os.PathLike[str]) -> list[str]:
    """List the paths that match a pattern of ``*``, ``?`` and ``[...]``.

    Example:
      >>> import tempfile
      >>> glob(os.path.join(tempfile.mkdtemp(), "*"))
      []
    """
    return [path.rstrip("/") for path in glob_files.glob(local_path(pattern))]


def makedirs(path: str | os.PathLike[str]) -> None:
    """Make a folder and the folders above it, unless they exist.

    Example:
      >>> import tempfile
      >>> makedirs(os.path.join(tempfile.mkdtemp(), "a", "b"))
    """
    os.makedirs(local_path(path), exist_ok=True)


def copy(src: str | os.PathLike[str], dst: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Copy a file.

    Raises:
      AlreadyExistsError: the destination exists, and ``overwrite`` is False.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> copy(tempfile.mkstemp()[1], os.path.join(folder, "copy"))
      >>> listdir(folder)
      ['copy']
    """
    shutil.copy(local_path(src), _free(dst, overwrite))


def rename(
    src: str | os.PathLike[str], dst: str | os.PathLike[str], overwrite: bool = False
) -> None:
    """Rename a file or folder.

    Raises:
      AlreadyExistsError: the destination exists, and ``overwrite`` is False.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> rename(tempfile.mkstemp()[1], os.path.join(folder, "new"))
      >>> listdir(folder)
      ['new']
    """
    os.rename(local_path(src), _free(dst, overwrite))


def remove(path: str | os.PathLike[str]) -> None:
    """Remove a file.

    Example:
      >>> import tempfile
      >>> remove(tempfile.mkstemp()[1])
    """
    os.remove(local_path(path))


def rmtree(path: str | os.PathLike[str]) -> None:
    """Remove a folder and everything in it.

    Example:
      >>> import tempfile
      >>> rmtree(tempfile.mkdtemp())
    """
    shutil.rmtree(local_path(path))


def _free(path: str | os.PathLike[str], overwrite: bool) -> str:
    target = local_path(path)
    if os.path.exists(target) and not overwrite:
        raise AlreadyExistsError(target)
    return target
