"""Folders of checkpoints, on this machine or in a bucket: what is in them, and how a checkpoint is removed."""

from __future__ import annotations

import os
import shutil

from linen_store.filesystem.paths import local_path
from linen_store.filesystem.remote import IN_WORK, RemoteFolder, is_remote, split_address
from linen_store.formats.orbax.checksums import CHECKPOINT_METADATA
from linen_store.formats.orbax.layout import is_checkpoint

__all__ = ["StepFolder"]

_REMOVED = ".linen-removed"
"""The suffix of a checkpoint while it is removed."""


class StepFolder:
    """A folder of checkpoints.

    Args:
      path: a path, or an address in a bucket.

    Example:
      >>> StepFolder("s3://bucket/run/").path_of("100")
      's3://bucket/run/100'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._remote = RemoteFolder(path) if is_remote(path) else None
        local = "" if self._remote is not None else os.path.abspath(local_path(path))
        self.path = local or os.fsdecode(path).rstrip("/")

    def path_of(self, name: str) -> str:
        """Return the path, or the address, of a checkpoint."""
        return os.path.join(self.path, name) if self._remote is None else f"{self.path}/{name}"

    def names(self) -> list[str]:
        """List the files and folders; in a bucket, those that were completely uploaded.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        if self._remote is None:
            return os.listdir(self.path) if os.path.isdir(self.path) else []
        names = self._remote.names()
        return [name for name in names if "/" not in name] + _complete(names)

    def checkpoints(self) -> list[str]:
        """List the finished checkpoints.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        if self._remote is None:
            return [name for name in self.names() if is_checkpoint(self.path_of(name))]
        return _complete(self._remote.names())

    def holds(self, name: str) -> bool:
        """Return whether a file or folder of a name exists; in a bucket, whether it was completely uploaded.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        if self._remote is None:
            return os.path.exists(self.path_of(name))
        return name in self.names()

    def is_empty(self) -> bool:
        """Return whether nothing is at the path, or an empty folder.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        if self._remote is None:
            is_folder = os.path.isdir(self.path)
            return not (os.listdir(self.path) if is_folder else os.path.exists(self.path))
        above, name = split_address(self.path)
        return not self._remote.names() and not (name and RemoteFolder(above).holds(name))

    def metadata(self, name: str) -> bytes:
        """Return the content of the file with a checkpoint's own metadata.

        Raises:
          OSError: it cannot be read, or does not exist.
        """
        if self._remote is None:
            with open(os.path.join(self.path, name, CHECKPOINT_METADATA), "rb") as stream:
                return stream.read()
        return self._remote.read([f"{name}/{CHECKPOINT_METADATA}"]).get(
            f"{name}/{CHECKPOINT_METADATA}", b""
        )

    def remove(self, name: str) -> None:
        """Remove a checkpoint, or a file. What is removed only in part does not look like a checkpoint.

        Raises:
          OSError: it cannot be removed.
        """
        if self._remote is not None:
            inner = self._remote.folder(name)
            names = inner.names()
            if names:
                inner.write(IN_WORK, b"")
                inner.delete(one for one in names if one != IN_WORK)
                inner.delete([IN_WORK])
            self._remote.delete([name])
            return
        path = self.path_of(name)
        if not os.path.isdir(path) or os.path.islink(path):
            os.remove(path)
            return
        os.rename(path, path + _REMOVED)
        shutil.rmtree(path + _REMOVED, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what an interrupted `remove` left."""
        for name in self.names() if self._remote is None else ():
            if name.endswith(_REMOVED):
                shutil.rmtree(self.path_of(name), ignore_errors=True)


def _complete(names: list[str]) -> list[str]:
    """Return the folders that are checkpoints, and neither uploaded nor removed at the moment."""
    found = set(names)
    tops = (name.partition("/") for name in names)
    return [
        top
        for top, _, rest in tops
        if rest == CHECKPOINT_METADATA and f"{top}/{IN_WORK}" not in found
    ]
