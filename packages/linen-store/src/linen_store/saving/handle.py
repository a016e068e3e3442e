"""Saves in the background. The interpreter waits for them at exit."""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from linen_store.errors import SaveTimeoutError

__all__ = ["SaveHandle"]

_HEAD_START = 0.001
"""Seconds that a thread waits before it starts to work."""


class SaveHandle:
    """A save in the background. The interpreter waits for it at exit.

    Attributes:
      path: the path of the save.

    Example:
      >>> import os, tempfile, numpy as np, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> handle = linen_store.save(path, {"params": {"w": np.ones(2)}}, wait=False)
      >>> handle.wait()
      >>> os.path.isdir(path)
      True
    """

    def __init__(self, path: str, work: Callable[[], None]) -> None:
        self.path = path
        self._error: BaseException | None = None
        # Only the thread refers to the work, whose memory is freed when the save ends.
        self._thread = threading.Thread(
            target=self._run, args=(work,), name=f"save {path}", daemon=True
        )
        _wait_at_exit()
        _pending.add(self)
        try:
            self._thread.start()
        except BaseException:
            _pending.discard(self)
            raise

    def _run(self, work: Callable[[], None]) -> None:
        # The caller goes on first. Otherwise it would wait until this thread gives up the interpreter.
        time.sleep(_HEAD_START)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by `wait`
            self._error = error
        else:
            _pending.discard(self)

    @property
    def done(self) -> bool:
        """True if the save has ended, with or without an error."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the checkpoint is complete.

        Raises:
          SaveTimeoutError: it took longer than ``timeout`` seconds.
          StoreError: the save failed.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise SaveTimeoutError(self.path, timeout)
        _pending.discard(self)
        if self._error is not None:
            raise self._error


_pending: set[SaveHandle] = set()
"""The running saves, and the failed ones that nobody has waited for."""


def _finish() -> None:
    """Wait at exit, and print the failures that nobody has waited for."""
    while _pending:
        handle = _pending.pop()
        handle._thread.join()
        if handle._error is not None:
            traceback.print_exception(handle._error)


@functools.cache
def _wait_at_exit() -> None:
    """Register `_finish` to run at exit while thread pools still accept work."""
    # Orbax uses thread pools, which their module closes at exit. Functions that are registered later run first: the
    # module must be imported before.
    import concurrent.futures.thread  # noqa: F401

    register: Any = getattr(threading, "_register_atexit", atexit.register)
    # If the interpreter is already exiting, it waits for the calling thread itself.
    with contextlib.suppress(RuntimeError):
        register(_finish)
