"""A read-only variable store in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from linen_core import MemoryStore
from linen_store.frozen.frozen_dict import freeze

__all__ = ["FrozenDictStore"]


class FrozenDictStore(MemoryStore):
    """A read-only store over a FrozenDict of variables.

    The mapping that is passed is copied: later changes to it are not visible in the store.

    Attributes:
      variables: the FrozenDict.

    Example:
      >>> store = FrozenDictStore({"params": {"dense": {"bias": 0.0}}})
      >>> store.get("params", ("dense", "bias"))
      0.0
      >>> store.capabilities.writable
      False
    """

    suffixes: ClassVar = ()  # its argument is not a path: it opens no files

    def __init__(self, variables: Mapping[str, Any] | None = None) -> None:
        super().__init__(freeze({} if variables is None else variables))
