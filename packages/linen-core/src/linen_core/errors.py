"""Every failure that linen_core reports, one class each.

An error's first line says where it happened, what was found and what was expected, then what to do. The
data behind the text is on the error as attributes, and every error survives pickling as its own class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "FlaxError",
    "InvalidFilterError",
    "LinenError",
    "StoreClosedError",
    "StoreError",
    "StorePathError",
    "StoreReadOnlyError",
]


def _rebuild(cls: type[LinenError], args: tuple[Any, ...], state: dict[str, Any]) -> LinenError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class LinenError(Exception):
    """Base of every error of Linen.

    Subclasses take the facts as arguments, keep them as attributes and hand the finished text to this class.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


FlaxError = LinenError


def render_path(collection: str, path: Sequence[str]) -> str:
    """Render a variable's address as ``collection/module/.../name``."""
    return "/".join((collection, *path))


class InvalidFilterError(LinenError, TypeError):
    """A filter of collections or RNG streams is neither a bool, a name, a collection of names nor a DenyList.

    Attributes:
      filter_like: what was given.
    """

    def __init__(self, filter_like: Any) -> None:
        self.filter_like = filter_like
        super().__init__(
            f"Invalid filter {filter_like!r}: expected a bool, a name, a collection of names or a DenyList."
        )


class StoreError(LinenError):
    """Base of the errors of variable stores."""


class StorePathError(StoreError, KeyError):
    """A store was asked for a path at which it has nothing.

    Attributes:
      collection: name of the collection that was asked.
      path: the path inside the collection.
    """

    def __init__(self, collection: str, path: Sequence[str], reason: str = "nothing is stored there") -> None:
        self.collection = collection
        self.path = tuple(path)
        super().__init__(f"Cannot find {render_path(collection, path)!r} in the store: {reason}.")


class StoreReadOnlyError(StoreError, TypeError):
    """A value was put into, or deleted from, a store that cannot be written.

    Attributes:
      store: the class name of the store.
      collection: name of the collection.
      path: the path inside the collection.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store
        self.collection = collection
        self.path = tuple(path)
        super().__init__(
            f"Cannot write {render_path(collection, path)!r}: {store} is read-only. "
            "Take `store.snapshot()`, a plain nested dict, and change that."
        )


class StoreClosedError(StoreError, ValueError):
    """A store was read after it was closed.

    Attributes:
      store: the class name of the store.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(f"Cannot read from a closed {store}. Open it again, or read inside its `with` block.")
