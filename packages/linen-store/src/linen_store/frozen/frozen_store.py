"""A variable store that cannot change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linen_core import MemoryStore
from linen_store.frozen.frozen_dict import freeze

__all__ = ["FrozenDictStore"]


class FrozenDictStore(MemoryStore):
    """A read-only store over a FrozenDict of variables.

    Whatever mapping it is made from is frozen first, so a later change to that mapping is not seen
    here.

    Attributes:
      variables: the FrozenDict.

    Example:
      >>> store = FrozenDictStore({"params": {"dense": {"bias": 0.0}}})
      >>> store.get("params", ("dense", "bias"))
      0.0
      >>> store.capabilities.writable
      False
    """

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        super().__init__(freeze({} if variables is None else variables))
