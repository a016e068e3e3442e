"""Checks the path of a save before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from linen_store.errors import CheckpointExistsError, NotACheckpointError
from linen_store.filesystem.failures import listed
from linen_store.formats.orbax.layout import is_checkpoint

__all__ = ["NO_HOOKS", "Hooks", "check_target"]


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


NO_HOOKS = Hooks(None, None)
