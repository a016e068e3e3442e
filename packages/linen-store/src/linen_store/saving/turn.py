"""One save at a time in a process, in the order of the calls.

Orbax cannot run two saves in two threads: they take each other's temporary folders, and the one that ends last, not
the one that was called last, would stay at the path.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from types import TracebackType

from linen_store.errors import NestedSaveError

__all__ = ["Turn"]


class Turn:
    """The place of one save in the line: taken when it is made, left at the end of its `with` block.

    Adding to a deque and removing from it are single steps, also for a signal handler that saves, so no lock is
    needed around them.

    Args:
      path: the path that is saved to.

    Example:
      >>> first, second = Turn("/one"), Turn("/two")
      >>> with first:
      ...     second.is_next
      False
      >>> with second:
      ...     second.is_next
      True
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread: int | None = None
        self._woken = threading.Event()
        _line.append(self)

    @property
    def is_next(self) -> bool:
        """Whether every save that was called before has ended."""
        return _line[0] is self

    def leave(self) -> None:
        """Leave the line, and wake the save that is next."""
        with contextlib.suppress(ValueError):  # in a forked child the line is empty
            _line.remove(self)
        with contextlib.suppress(IndexError):
            _line[0]._woken.set()

    def __enter__(self) -> None:
        """Wait until this save is the next.

        Raises:
          NestedSaveError: the save before it runs in this very thread, and would be waited for without end.
        """
        self._thread = threading.get_ident()
        try:
            self._check_thread()
            while not self.is_next:
                self._woken.wait()
        except BaseException:
            self.leave()
            raise

    def _check_thread(self) -> None:
        line = list(_line)
        if any(turn._thread == self._thread for turn in line[: line.index(self)]):
            raise NestedSaveError(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()


_line: deque[Turn] = deque()
"""The saves that were called and have not ended; the first of them runs."""


if hasattr(os, "register_at_fork"):
    # The threads that would end these saves do not live on in the child.
    os.register_at_fork(after_in_child=_line.clear)
