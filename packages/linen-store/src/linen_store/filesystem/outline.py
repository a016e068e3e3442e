"""A folder of this machine with the names of a remote one, and the contents of a few small files.

The code that finds steps, items and names reads this folder. Arrays are read from the remote folder itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from linen_core.errors import StoreError
from linen_store.filesystem.remote import RemoteFolder

__all__ = ["Outline"]


class Outline:
    """Empty files with the names of remote objects, in a temporary folder that lives as long as this object.

    Args:
      remote: the remote folder.
      names: the names of its objects.
      contents: the contents of those that are known already.

    Example:
      >>> outline = Outline(RemoteFolder("https://example.org/run"), ["state/_METADATA"])
      >>> os.listdir(os.path.join(outline.folder, "state"))
      ['_METADATA']
      >>> outline.close()
      >>> os.path.exists(outline.folder)
      False
    """

    def __init__(
        self,
        remote: RemoteFolder,
        names: Iterable[str],
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        self.remote = remote
        self.folder = tempfile.mkdtemp(prefix="linen-remote-")
        self.close = weakref.finalize(self, _remove_folder, self.folder, os.getpid())
        contents = contents or {}
        self._fetched = set(contents)
        for name in filter(_is_safe, names):
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                # An object may have the name of a folder. Then it is not a file of a checkpoint.
                self.write(name, contents.get(name, b""))

    def fetch(self, names: Iterable[str]) -> None:
        """Fill files with their contents, unless they have them; names of objects that do not exist are left out.

        Raises:
          RemoteFailedError: a request failed.
        """
        wanted = [name for name in dict.fromkeys(names) if name not in self._fetched]
        for name, data in self.remote.read(wanted).items():
            self.write(name, data)
        self._fetched.update(wanted)

    def write(self, name: str, data: bytes, *, size: int | None = None) -> None:
        """Write a file, or its first bytes.

        Args:
          name: the name of the object.
          data: the bytes.
          size: the size of the object, if these are not all bytes.
        """
        file = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as stream:
            stream.write(data)
            if size is not None:
                stream.truncate(size)

    def name_of(self, path: str) -> str:
        """Return the name of the object, or folder of objects, that a path in this folder has the name of."""
        name = os.path.relpath(path, self.folder).replace(os.sep, "/")
        return "" if name == "." else name

    def names_below(self, path: str) -> list[str]:
        """List the objects below a path in this folder."""
        return [
            self.name_of(os.path.join(parent, file))
            for parent, _, files in os.walk(path)
            for file in files
        ]

    @contextlib.contextmanager
    def errors_with_addresses(self) -> Iterator[None]:
        """Name the remote folder in errors, in place of this one."""
        try:
            yield
        except StoreError as error:
            error.args = tuple(map(self._with_address, error.args))
            for name, value in vars(error).items():
                setattr(error, name, self._with_address(value))
            raise

    def _with_address(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(self.folder, self.remote.address)
        if isinstance(value, tuple):
            return tuple(map(self._with_address, value))
        return value


def _is_safe(name: str) -> bool:
    """Return whether a name is a path inside a folder."""
    return "\0" not in name and not any(part in ("", ".", "..") for part in name.split("/"))


def _remove_folder(folder: str, process: int) -> None:
    # A forked child must leave the files of its parent.
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
