"""`get_axis_names` of flax, which returns a FrozenDict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linen_core.spmd import partitioning
from linen_store.frozen.frozen_dict import FrozenDict, freeze

__all__ = ["get_axis_names"]


def get_axis_names(axes_metadata: Mapping[str, Any]) -> FrozenDict[str, Any]:
    """Convert sown axis names as `linen_core.partitioning.get_axis_names` does, to a FrozenDict.

    Example:
      >>> names = get_axis_names({"scale_axes": partitioning.AxisMetadata(("embed",))})
      >>> tuple(names["scale"])
      ('embed',)
    """
    return freeze(partitioning.get_axis_names(axes_metadata))
