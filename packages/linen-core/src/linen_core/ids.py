"""Identifiers that no other object of the process has, with the names of ``flax.ids``."""

from __future__ import annotations

import itertools

__all__ = ["FlaxId", "UUIDManager", "uuid"]


class UUIDManager:
    """Returns a new identifier in each call.

    Example:
      >>> new_id = UUIDManager()
      >>> new_id() == new_id()
      False
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)  # `next` is one step for all threads

    def __call__(self) -> FlaxId:
        """Return a new identifier."""
        return FlaxId(next(self._numbers))


uuid = UUIDManager()


class FlaxId:
    """A hashable identifier. A copy of it is a new identifier.

    Attributes:
      id: its number.

    Example:
      >>> import copy
      >>> one = FlaxId(7)
      >>> one == FlaxId(7), one == copy.copy(one), one
      (True, False, FlaxId(7))
    """

    def __init__(self, rawid: int) -> None:
        self.id = rawid

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlaxId) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"FlaxId({self.id})"

    def __copy__(self) -> FlaxId:
        return uuid()

    def __deepcopy__(self, memo: object) -> FlaxId:
        return uuid()
