"""Checks the path of a save before anything is written."""

from __future__ import annotations

import os

from linen_store.errors import CheckpointExistsError, NotACheckpointError
from linen_store.filesystem.failures import listed
from linen_store.formats.orbax.layout import is_checkpoint

__all__ = ["check_target"]


def check_target(target: str, overwrite: bool) -> None:
    """Raise if something at a path must not be replaced.

    Raises:
      CheckpointExistsError: something is there, and ``overwrite`` is False.
      NotACheckpointError: it is not a checkpoint.
    """
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
