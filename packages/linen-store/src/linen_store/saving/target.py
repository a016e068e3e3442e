"""Where a save goes: a path of this machine, or a bucket. The complete checkpoint is moved or uploaded there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from linen_store.errors import (
    CheckpointExistsError,
    NotACheckpointError,
    UnwritablePathError,
)
from linen_store.filesystem.atomic_replace import publish as publish_locally
from linen_store.filesystem.atomic_replace import staging_directory
from linen_store.filesystem.failures import listed
from linen_store.filesystem.paths import local_path
from linen_store.filesystem.remote import RemoteFolder, is_remote, split_address
from linen_store.formats.orbax.layout import is_checkpoint
from linen_store.saving.upload import ITEM, ONLY_READ, Upload

__all__ = [
    "ITEM",
    "Hooks",
    "absolute",
    "check_file_target",
    "check_target",
    "publish",
    "staging",
]


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path, or the address, that a caller means.

    Example:
      >>> absolute("s3://bucket/model")
      's3://bucket/model'
    """
    return os.fsdecode(path) if is_remote(path) else os.path.abspath(local_path(path))


def check_file_target(target: str, overwrite: bool) -> None:
    """Raise if a single file must not be written to a path.

    Raises:
      CheckpointExistsError: something is there, and ``overwrite`` is False.
      NotACheckpointError: it is a folder.
      UnwritablePathError: it is a web server.
      RemoteFailedError: the bucket did not answer, or refused.
    """
    if is_remote(target):
        above, name = split_address(target)
        folder = RemoteFolder(above)
        if not folder.can_list:
            raise UnwritablePathError(folder.of(name), ONLY_READ)
        if not overwrite and folder.holds(name):
            raise CheckpointExistsError(target)
        return
    if os.path.lexists(target) and not overwrite:
        raise CheckpointExistsError(target)
    if os.path.isdir(target):
        raise NotACheckpointError(target, "a folder", "Only a file is overwritten by a file.")


def check_target(target: str, overwrite: bool) -> None:
    """Raise if something at a path must not be replaced, or nothing can be written there.

    Raises:
      CheckpointExistsError: something is there, and ``overwrite`` is False.
      RemoteExistsError: something is there, and it is a bucket.
      NotACheckpointError: it is not a checkpoint.
      UnwritablePathError: it is a web server.
      RemoteFailedError: the bucket did not answer, or refused.
    """
    if is_remote(target):
        Upload(target).check()
        return
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise CheckpointExistsError(target)
    if not is_checkpoint(target) and not (os.path.isdir(target) and not listed(target)):
        raise NotACheckpointError(
            target,
            "something else",
            "Only a checkpoint is overwritten; remove it or choose another path.",
        )


def staging(target: str) -> contextlib.AbstractContextManager[str]:
    """Make a temporary folder for the parts of a save: beside its path, or in ``TMPDIR`` for a bucket."""
    beside = os.path.join(tempfile.gettempdir(), "linen-save") if is_remote(target) else target
    return staging_directory(beside)


def publish(finished: str, target: str, *, overwrite: bool) -> None:
    """Move a complete file or checkpoint to its path, or upload it.

    Raises:
      RemoteFailedError: the bucket did not answer, or refused.
      StoreError: see `linen_store.filesystem.atomic_replace.publish`.
    """
    if not is_remote(target):
        publish_locally(finished, target, overwrite=overwrite)
        return
    if os.path.isfile(finished):
        above, name = split_address(target)
        RemoteFolder(above).upload({name: finished})
        return
    upload = Upload(target)
    upload.begin()
    upload.complete(finished)


class Hooks(NamedTuple):
    """Functions that are called around a save. Of several processes, process 0 calls them."""

    before: Callable[[], None] | None
    after: Callable[[], None] | None

    def check(self, target: str, *, overwrite: bool) -> None:
        """Raise if nothing must be saved at a path."""
        if self.before is not None:
            self.before()
        check_target(target, overwrite)

    def finish(self) -> None:
        """Do what follows a complete checkpoint."""
        if self.after is not None:
            self.after()
