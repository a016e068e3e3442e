"""An iterator that computes its next items in a thread."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Self

__all__ = ["PrefetchIterator"]

_END = object()


class PrefetchIterator:
    """Runs an iterator in a thread, ahead of its use. Deprecated: `tf.data` and grain prefetch themselves.

    An exception of the iterator is raised after the items before it.

    Example:
      >>> import warnings
      >>> with warnings.catch_warnings(action="ignore"):
      ...     list(PrefetchIterator(iter([1, 2, 3]), buffer_size=2))
      [1, 2, 3]
    """

    def __init__(self, data_iter: Iterator[Any], buffer_size: int = 1) -> None:
        warnings.warn(
            "PrefetchIterator is deprecated: data loaders such as tf.data and grain prefetch themselves.",
            DeprecationWarning,
            stacklevel=2,
        )
        self.buffer_size = buffer_size
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._places = threading.Semaphore(buffer_size)
        self._is_closed = False
        self._error: Exception | None = None
        threading.Thread(target=self._run, args=(data_iter,), daemon=True).start()

    def _run(self, data_iter: Iterator[Any]) -> None:
        try:
            while self._places.acquire() and not self._is_closed:
                self._items.put(next(data_iter))
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - raised again in the thread that iterates
            self._error = error
        self._items.put(_END)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        item = self._items.get()
        if item is not _END:
            self._places.release()
            return item
        self._items.put(_END)  # for the next call
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        """Stop the thread. Items that wait are still returned."""
        self._is_closed = True
        self._places.release()
