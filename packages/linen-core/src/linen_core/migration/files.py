"""The files of a migration: which ones, and how they are read and written."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence

from linen_core.migration.findings import UnreadableError
from linen_core.migration.requirements import is_requirement_file

__all__ = ["files_of", "is_python", "leaves_tree", "read_file", "replace_file"]

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def is_python(path: str) -> bool:
    """Return whether a file has Python source, by its name.

    Example:
      >>> is_python("a.pyi"), is_python("a.ipynb")
      (True, False)
    """
    return path.endswith((".py", ".pyi", ".pyw"))


def _is_candidate(path: str) -> bool:
    return is_python(path) or path.endswith(".ipynb") or is_requirement_file(path)


def files_of(paths: Sequence[str]) -> Iterator[str]:
    """Yield the files to migrate: those that are named, and those below folders, sorted.

    Folders whose names start with a dot, virtual environments and links to folders are left out.

    Example:
      >>> list(files_of(["no_such_file.py"]))
      ['no_such_file.py']
    """
    found: dict[str, str] = {}
    for path in paths:
        if not os.path.isdir(path):
            found.setdefault(os.path.abspath(path), path)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if _is_walked(os.path.join(folder, name)))
            for name in sorted(names):
                file = os.path.normpath(os.path.join(folder, name))
                if _is_candidate(file):
                    found.setdefault(os.path.abspath(file), file)
    yield from found.values()


def _is_walked(folder: str) -> bool:
    name = os.path.basename(folder)
    is_environment = os.path.exists(os.path.join(folder, "pyvenv.cfg"))
    return not name.startswith(".") and name not in _SKIPPED and not is_environment


def leaves_tree(path: str, paths: Sequence[str]) -> bool:
    """Return whether a link points to a file outside the folders that are migrated.

    Example:
      >>> leaves_tree("a.py", ["."])
      False
    """
    target = os.path.realpath(path)
    roots = [os.path.realpath(root) for root in paths if os.path.isdir(root)]
    return not any(os.path.commonpath([root, target]) == root for root in roots)


def read_file(path: str) -> bytes:
    """Read a file.

    Raises:
      UnreadableError: it is missing, of another kind, or cannot be read.
    """
    if os.path.exists(path) and not _is_candidate(path):
        msg = "Is not Python, a notebook or a requirement file. Name a folder or such a file."
        raise UnreadableError(msg)
    try:
        # To open a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            msg = "Is not a regular file."
            raise UnreadableError(msg)
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        msg = f"Cannot be read: {error.strerror}."
        raise UnreadableError(msg) from error


def replace_file(path: str, data: bytes) -> None:
    """Replace the content of a file atomically. Its mode stays.

    Raises:
      UnreadableError: it cannot be written. It is as before.
    """
    temporary = None
    try:
        mode = os.stat(path).st_mode
        if not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(path) or ".", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        msg = f"Cannot be written: {error.strerror}. It is as before."
        raise UnreadableError(msg) from error
