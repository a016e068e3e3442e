"""The types of entries of a row, with the names that programs use from ``flax.linen.summary``."""

from __future__ import annotations

from typing import Any

import jax

__all__ = ["ArrayRepresentation", "ObjectRepresentation"]

ArrayRepresentation = jax.ShapeDtypeStruct
"""The type of an array in a row."""


class ObjectRepresentation:
    """The type of another object in a row of flax. Rows of Linen hold the object itself.

    Attributes:
      obj: the object.

    Example:
      >>> ObjectRepresentation(3).obj
      3
    """

    def __init__(self, obj: Any) -> None:
        self.obj = obj
