"""Which axis of a value a transform maps over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["In", "Out", "broadcast", "split_in_out"]


class _Broadcast:
    """The type of `broadcast`."""

    def __repr__(self) -> str:
        return "broadcast"


broadcast = _Broadcast()
"""In place of an axis of `scan`: the value is the same in all steps."""


@dataclasses.dataclass(frozen=True)
class In:
    """An axis for variables that go in only."""

    axis: Any
    """The axis, or None for none."""


@dataclasses.dataclass(frozen=True)
class Out:
    """An axis for variables that come out only."""

    axis: Any
    """The axis, or None for none."""


def split_in_out(axes: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Part axes by collection into those of variables that go in and those of variables that come out."""
    inward = {name: _axis(axis) for name, axis in axes.items() if not isinstance(axis, Out)}
    outward = {name: _axis(axis) for name, axis in axes.items() if not isinstance(axis, In)}
    return inward, outward


def _axis(axis: Any) -> Any:
    return axis.axis if isinstance(axis, In | Out) else axis
