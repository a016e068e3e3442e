"""Saves that go on in the background, and the end of the interpreter, which waits for them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import threading
import traceback
from collections.abc import Callable
from typing import Any

from linen_store.errors import SaveTimeoutError

__all__ = ["SaveHandle"]


class SaveHandle:
    """A save that goes on in the background; the interpreter waits for it before it exits.

    Attributes:
      path: the path that is saved to.

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
        # The thread alone knows the work: what it holds in memory goes when the save has ended.
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
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        else:
            _pending.discard(self)

    @property
    def done(self) -> bool:
        """Whether the save has ended, well or not."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the checkpoint is at its path.

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
"""The saves that go on, and those that failed and that nobody has waited for."""


def _finish() -> None:
    """Wait at exit, and do not let a failure that nobody waited for go by in silence."""
    while _pending:
        handle = _pending.pop()
        handle._thread.join()
        if handle._error is not None:
            traceback.print_exception(handle._error)


@functools.cache
def _wait_at_exit() -> None:
    """Have `_finish` called when the interpreter ends, while thread pools still take work."""
    # Orbax works in thread pools, whose module closes them at exit. Functions registered later are
    # called first, so that module has to be imported by now.
    import concurrent.futures.thread  # noqa: F401

    register: Any = getattr(threading, "_register_atexit", atexit.register)
    # The interpreter is already ending: then the thread that asks is itself waited for.
    with contextlib.suppress(RuntimeError):
        register(_finish)
