"""Failures to save and restore that programs catch by these names; linen-store's own errors derive from them."""

from __future__ import annotations

import os
from typing import Any

from linen_core.errors._base import LinenError

__all__ = [
    "AlreadyExistsError",
    "CursorFindError",
    "InvalidCheckpointError",
    "MPACheckpointingRequiredError",
    "MPARestoreDataCorruptedError",
    "MPARestoreTargetRequiredError",
    "TraverseTreeError",
]


class AlreadyExistsError(LinenError, FileExistsError):
    """A file or folder would have to be replaced, and nobody said that it may be.

    Attributes:
      path: the path.
    """

    def __init__(self, path: Any) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot write to {self.path!r}: it exists already. Pass overwrite=True to replace it, or choose another "
            "path."
        )


class InvalidCheckpointError(LinenError, ValueError):
    """A checkpoint of an earlier step would be saved where that step, or a later one, is.

    Attributes:
      path: the folder of the checkpoints.
      step: the step.
    """

    def __init__(self, path: Any, step: Any) -> None:
        self.path, self.step = os.fspath(path), step
        super().__init__(
            f"Cannot save step {step} in {self.path!r}: that step, or a later one, is there. Pass overwrite=True to "
            "replace what is there, or save a later step."
        )


class MPACheckpointingRequiredError(LinenError, ValueError):
    """An array that lives on several processes was given to something that saves arrays of one process.

    Attributes:
      path: the path.
      step: the step.
    """

    def __init__(self, path: Any, step: Any) -> None:
        self.path, self.step = os.fspath(path), step
        super().__init__(
            f"Cannot save step {step} in {self.path!r}: an array lives on several processes. Save it with "
            "linen_store.save on every process."
        )


class MPARestoreTargetRequiredError(LinenError, ValueError):
    """An array that lives on several processes cannot be restored before its sharding is known.

    Attributes:
      path: the path.
      step: the step.
      key: name of the array, or None.
    """

    def __init__(self, path: Any, step: Any, key: Any = None) -> None:
        self.path, self.step, self.key = os.fspath(path), step, key
        array = "an array" if key is None else f"the array {key!r}"
        super().__init__(
            f"Cannot restore step {step} from {self.path!r}: {array} lives on several processes, and no sharding is "
            "given for it. Give its sharding, or a target that has it."
        )


class MPARestoreDataCorruptedError(LinenError, ValueError):
    """The part of a checkpoint that one process wrote is not complete.

    Attributes:
      path: the path.
      step: the step.
    """

    def __init__(self, step: Any, path: Any) -> None:
        self.path, self.step = os.fspath(path), step
        super().__init__(
            f"Cannot restore step {step} from {self.path!r}: a process did not finish writing its part. Restore "
            "another step."
        )


class CursorFindError(LinenError, LookupError):
    """Not exactly one object was found where one was looked for.

    Attributes:
      paths: where the first two were found; empty if none was.
    """

    def __init__(self, cursor: Any = None, cursor2: Any = None) -> None:
        both = cursor is not None and cursor2 is not None
        self.paths = tuple(str(getattr(c, "_path", c)) for c in (cursor, cursor2)) if both else ()
        found = f"more than one, at {' and at '.join(self.paths)}" if both else "none"
        super().__init__(
            f"Expected one object that fulfils the condition, found {found}. Change the condition."
        )


class TraverseTreeError(LinenError, TypeError):
    """A search was given both a condition and an update, or neither.

    Attributes:
      given: how many of the two were given, 0 or 2.
    """

    def __init__(self, update_fn: Any, cond_fn: Any) -> None:
        self.given = sum(fn is not None for fn in (update_fn, cond_fn))
        super().__init__(
            f"Expected one of update_fn and cond_fn, found {'both' if self.given else 'neither'}. Pass one of them."
        )
