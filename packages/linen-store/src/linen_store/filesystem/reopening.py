"""Opening what another process may be replacing at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from linen_core.errors import StoreError
from linen_store.errors import CheckpointReplacedError
from linen_store.filesystem.paths import file_identity

__all__ = ["opened_whole"]

T = TypeVar("T")

_ATTEMPTS = 20
"""To replace a checkpoint takes longer than to open it: so many times in a row it is not replaced."""


def opened_whole(path: str, attempt: Callable[[], T]) -> T:
    """Open something, and once more where it was replaced before it was opened whole.

    Args:
      path: if opening it fails, and something else is at the path by then, it is tried again.
      attempt: opens it; raises `CheckpointReplacedError` if some of what it read may be of another
        checkpoint than the rest.

    Raises:
      StoreError: it cannot be opened, and was not replaced.

    Example:
      >>> opened_whole("/nowhere", lambda: 1)
      1
    """
    for _ in range(_ATTEMPTS - 1):
        before = file_identity(path)
        try:
            return attempt()
        except CheckpointReplacedError:
            pass
        except StoreError:
            if file_identity(path) == before:
                raise
    return attempt()
