"""Failures of the system, not damage of a checkpoint: permissions, full disks, limits."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Any

from linen_core.errors import StoreError
from linen_store.errors._base import StrPath

__all__ = [
    "ReadFailedError",
    "ReadPermissionError",
    "RemoteFailedError",
    "SaveFailedError",
    "StepRemovalError",
    "UnwritablePathError",
]

_READ_LATER = "The checkpoint may be intact; try again later."
_READ_ADVICE = {
    errno.EACCES: "Give this user the right to read it, or run as a user who has it.",
    errno.EPERM: "Give this user the right to read it, or run as a user who has it.",
    errno.EMFILE: "Close unused files and stores, or raise the limit (`ulimit -n`).",
    errno.ENFILE: "Close programs that hold many files, or raise the system's limit.",
    errno.EIO: "Check the disk and try again; if it fails again, restore the files from a copy.",
    errno.ESTALE: "The file server has replaced it; open the store again.",
    errno.ENOMEM: "Free memory, then try again.",
}
_SAVE_ADVICE = {
    errno.ENOSPC: "free space or choose another disk",
    errno.EDQUOT: "free some of your quota or choose another disk",
    errno.EACCES: "give this user the right to write there or choose another folder",
    errno.EPERM: "give this user the right to write there or choose another folder",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`) or choose another disk",
    errno.EMFILE: "close unused files or raise the limit (`ulimit -n`)",
    errno.ENFILE: "close programs that hold many files or raise the system's limit",
    errno.EIO: "check the disk or choose another one",
    errno.ESTALE: "mount the file server again or choose another disk",
    errno.ENOMEM: "free memory",
}


class _NumberedError(StoreError, OSError):
    """An error with the system's number. Without `__reduce__`, a pickle would lose the number."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__, self.errno)


def _rebuild(
    kind: type[_NumberedError], args: tuple[Any, ...], state: dict[str, Any], number: int | None
) -> _NumberedError:
    error = kind.__new__(kind)
    error.args, error.errno = args, number
    error.__dict__.update(state)
    return error


class ReadFailedError(_NumberedError):
    """The system refuses to read a checkpoint, which may be intact.

    Attributes:
      path: the checkpoint.
      file: the file that the system refuses.
      errno: the system's number of the error, as in `OSError`.
      leaf: names of the leaf that was read; None for the whole checkpoint.
    """

    def __init__(
        self, path: StrPath, file: StrPath, number: int, leaf: Sequence[str] | None = None
    ) -> None:
        self.path = os.fspath(path)
        self.file = os.fspath(file)
        self.leaf = None if leaf is None else tuple(leaf)
        what = self.path if leaf is None else f"{'/'.join(leaf)!r} of {self.path}"
        advice = _READ_ADVICE.get(number, _READ_LATER)
        super().__init__(
            f"Cannot read {what}: the system refuses {self.file} ({os.strerror(number)}). {advice}"
        )
        self.errno = number


class ReadPermissionError(ReadFailedError, PermissionError):
    """This user may not read a file or folder of a checkpoint."""


class UnwritablePathError(_NumberedError):
    """The folder of a save cannot be made or written.

    Attributes:
      path: the path of the save.
      reason: the reason.
      errno: the system's number of the error, as in `OSError`; None for another reason.
    """

    def __init__(self, path: StrPath, reason: str, number: int | None = None) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        advice = _SAVE_ADVICE.get(number or 0, "choose a folder that can be written")
        super().__init__(f"Cannot save to {self.path!r}: {reason}. Nothing was written; {advice}.")
        self.errno = number


class StepRemovalError(_NumberedError):
    """A step was saved, and an old one that need not be kept cannot be removed.

    Attributes:
      path: the path of the saved step.
      old: the path of the old one.
      reason: the reason.
      errno: the system's number of the error, as in `OSError`.
    """

    def __init__(self, path: StrPath, old: StrPath, reason: str, number: int | None = None) -> None:
        self.path = os.fspath(path)
        self.old = os.fspath(old)
        self.reason = reason
        super().__init__(
            f"Saved {self.path!r}, but cannot remove {self.old!r}: {reason}. Remove it, or let this user write its "
            "folder."
        )
        self.errno = number


class SaveFailedError(_NumberedError):
    """Writing a checkpoint failed; the earlier checkpoint at the path is unchanged.

    Attributes:
      path: the path of the save.
      reason: the reason.
      errno: the system's number of the error, as in `OSError`; None for another reason.
    """

    def __init__(self, path: StrPath, reason: str, number: int | None = None) -> None:
        self.path = os.fspath(path)
        self.reason = reason
        advice = _SAVE_ADVICE.get(number or 0, "free space or check the disk")
        super().__init__(
            f"Cannot save to {self.path!r}: {reason}. An earlier checkpoint there is unchanged; {advice}, "
            "then save again."
        )
        self.errno = number


_REMOTE_ADVICE = {
    "PERMISSION_DENIED": "Check the credentials, and their rights for this bucket.",
    "UNAUTHENTICATED": "Check the credentials.",
    "NOT_FOUND": "Check the name of the bucket.",
    "FAILED_PRECONDITION": "The web server must serve ranges of bytes; or copy the checkpoint to a disk.",
    "OUT_OF_RANGE": "The object is shorter than when it was written; restore it from a copy.",
}


class RemoteFailedError(StoreError, OSError):
    """A bucket or web server did not do what was asked, also not when it was asked again.

    Attributes:
      path: the address of the object, or of the folder, without credentials.
      action: ``"read"``, ``"write"`` or ``"delete"``.
      code: the kind of the failure, such as ``"PERMISSION_DENIED"``, as tensorstore names it.
      reason: what the server answered, or why it could not be reached.
      leaf: names of the leaf that was read; None if it was not a leaf.
    """

    def __init__(
        self,
        path: StrPath,
        action: str,
        code: str,
        reason: str,
        leaf: Sequence[str] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.action = action
        self.code = code
        self.reason = reason
        self.leaf = None if leaf is None else tuple(leaf)
        what = repr(self.path) if leaf is None else f"{'/'.join(leaf)!r} of {self.path!r}"
        advice = _REMOTE_ADVICE.get(code, "Check the network and the address, or try again later.")
        super().__init__(f"Cannot {action} {what}: {reason} ({code}). {advice}")
