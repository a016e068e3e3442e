"""One save at a time in a process, in the order of the calls.

Orbax cannot run two saves in two threads: they use each other's temporary folders, and the last save to end, not the
last to be called, would determine the checkpoint at the path.
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
    """The position of one save in the queue, from the constructor to the end of the `with` block.

    Adding to a deque and removing from it are atomic, also for a signal handler that saves: they need no lock.

    Args:
      path: the path of the save.

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
        _queue.append(self)

    @property
    def is_next(self) -> bool:
        """True if every save that was called before has ended."""
        return _queue[0] is self

    def leave(self) -> None:
        """Leave the queue, and wake the next save."""
        with contextlib.suppress(ValueError):  # in a forked child the queue is empty
            _queue.remove(self)
        with contextlib.suppress(IndexError):
            _queue[0]._woken.set()

    def __enter__(self) -> None:
        """Wait until this save is next.

        Raises:
          NestedSaveError: the save before it runs in the same thread, which would wait forever.
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
        queue = list(_queue)
        if any(turn._thread == self._thread for turn in queue[: queue.index(self)]):
            raise NestedSaveError(self._path)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()


_queue: deque[Turn] = deque()
"""The saves that were called and have not ended; the first runs."""


if hasattr(os, "register_at_fork"):
    # The threads that would end these saves do not exist in the child.
    os.register_at_fork(after_in_child=_queue.clear)
