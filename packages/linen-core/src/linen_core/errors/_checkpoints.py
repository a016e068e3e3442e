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
    """Saving would replace an existing file or folder, but the call did not allow it."""

    def __init__(self, path: Any) -> None:
        self.path = os.fspath(path)  #: The path that exists.
        super().__init__(
            f"Cannot save to {self.path!r}: it exists already. Pass overwrite=True to replace it, or choose another "
            "path."
        )


class InvalidCheckpointError(LinenError, ValueError):
    """A checkpoint was to be saved for a step that is not later than the last saved one."""

    def __init__(self, path: Any, step: Any) -> None:
        self.path = os.fspath(path)  #: The folder of the checkpoints.
        self.step = step  #: The step that was to be saved.
        super().__init__(
            f"Cannot save step {step} in {self.path!r}: it contains that step or a later one. Pass overwrite=True to "
            "replace these steps, or save a later step."
        )


class MPACheckpointingRequiredError(LinenError, ValueError):
    """An array that is distributed over several processes was passed to a function that saves arrays of one."""

    def __init__(self, path: Any, step: Any) -> None:
        self.path = os.fspath(path)  #: The folder of the checkpoints.
        self.step = step  #: The step that was to be saved.
        super().__init__(
            f"Cannot save step {step} in {self.path!r}: an array is distributed over several processes. Call "
            "linen_store.save on every process."
        )


class MPARestoreTargetRequiredError(LinenError, ValueError):
    """An array that is distributed over several processes was to be restored without a sharding."""

    def __init__(self, path: Any, step: Any, key: Any = None) -> None:
        self.path = os.fspath(path)  #: The folder of the checkpoints.
        self.step = step  #: The step that was to be restored.
        self.key = key  #: Name of the array, or None.
        array = "an array" if key is None else f"the array {key!r}"
        super().__init__(
            f"Cannot restore step {step} from {self.path!r}: {array} is distributed over several processes and has no "
            "sharding here. Pass its sharding, or a target that has it."
        )


class MPARestoreDataCorruptedError(LinenError, ValueError):
    """The part of a checkpoint that one process wrote is incomplete."""

    def __init__(self, step: Any, path: Any) -> None:
        self.path = os.fspath(path)  #: The folder of the checkpoints.
        self.step = step  #: The step that was to be restored.
        super().__init__(
            f"Cannot restore step {step} from {self.path!r}: a process did not finish writing its part. Restore "
            "another step."
        )


class CursorFindError(LinenError, LookupError):
    """A search that must find exactly one object found none or several."""

    def __init__(self, cursor: Any = None, cursor2: Any = None) -> None:
        both = cursor is not None and cursor2 is not None
        found = (cursor, cursor2) if both else ()
        #: Paths of the first two objects found; empty if none was found.
        self.paths = tuple(str(getattr(item, "_path", item)) for item in found)
        found_text = f"more than one, at {' and at '.join(self.paths)}" if both else "none"
        super().__init__(
            f"Expected one object that fulfils the condition, found {found_text}. Change the condition."
        )


class TraverseTreeError(LinenError, TypeError):
    """A search was given both a condition and an update, or neither."""

    def __init__(self, update_fn: Any, cond_fn: Any) -> None:
        #: How many were passed, 0 or 2.
        self.given = sum(fn is not None for fn in (update_fn, cond_fn))
        super().__init__(
            f"Expected one of update_fn and cond_fn, found {'both' if self.given else 'neither'}. Pass one of them."
        )
