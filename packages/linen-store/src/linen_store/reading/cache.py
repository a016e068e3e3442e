"""A bounded cache of the values that a store has read."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import jax

__all__ = ["ValueCache"]


class ValueCache:
    """Keeps the most recently used values, up to a number of bytes.

    Args:
      limit: the number of bytes.

    Example:
      >>> cache = ValueCache(limit=10)
      >>> cache.keep("a", "first", 8)
      >>> cache.keep("b", "second", 8)
      >>> "a" in cache, cache.recall("b")
      (False, 'second')
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._size = 0

    def __contains__(self, key: Any) -> bool:
        if key not in self._entries:
            return False
        value, size = self._entries[key]
        if isinstance(value, jax.Array) and value.is_deleted():
            # A compiled function has taken over its memory (donation) since it was read.
            del self._entries[key]
            self._size -= size
            return False
        return True

    def recall(self, key: Any) -> Any:
        """Return a value that is in the cache, which makes it the most recently used."""
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def keep(self, key: Any, value: Any, size: int) -> None:
        """Add a value of some size, and drop the least recently used ones beyond the limit."""
        if isinstance(value, jax.core.Tracer) or size > self._limit:
            return  # a tracer belongs to the transformation that it was read in
        self._entries[key] = value, size
        self._size += size
        while self._size > self._limit:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._size -= dropped

    def clear(self) -> None:
        """Drop all values."""
        self._entries.clear()
        self._size = 0
