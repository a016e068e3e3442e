"""Notices that the machine is about to be taken away."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import multihost_utils

__all__ = ["Preemption"]


class Preemption:
    """Remembers the signal SIGTERM, with which clusters announce that they take a machine away.

    With `jax.distributed.initialize`, JAX itself handles the signal, and all processes agree on the last step.

    Example:
      >>> preemption = Preemption()
      >>> with preemption.watched():
      ...     before = preemption.reached(1)
      ...     signal.raise_signal(signal.SIGTERM)
      ...     preemption.reached(2)
      True
      >>> before
      False
    """

    def __init__(self) -> None:
        self._is_announced = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Handle the signal until the block ends. Only the main thread can; in others nothing changes."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or jax.distributed.is_initialized():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._announce)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _announce(self, _number: int, _frame: Any) -> None:
        self._is_announced = True

    def reached(self, step: int) -> bool:
        """Return whether to stop after a step. All processes call this once for each step, and get the same answer."""
        if not jax.distributed.is_initialized():
            return self._is_announced
        return bool(multihost_utils.reached_preemption_sync_point(step))
