"""The record that defines a measure: a column of numbers of calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Measure", "TracedCall"]


class TracedCall(Protocol):
    """A call as a measure sees it."""

    @property
    def forward(self) -> Any:
        """The call, as ``jax.jit(function).trace(...)`` returns it."""

    @property
    def backward(self) -> Any:
        """The call and its vector-Jacobian product, likewise."""

    @property
    def every_iteration(self) -> bool:
        """True if FLOPs count the body of a scan once for each iteration, False if once as XLA does."""

    @property
    def cache(self) -> dict[Any, Any]:
        """Values that measures reuse between the calls of one table."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of each call, and how tables show it.

    `linen_summary.costs.meter.MEASURES` lists the measures. Everything else reads this record.

    Example:
      >>> from linen_summary.costs.macs import MACS
      >>> MACS.argument, MACS.option, MACS.text(1_234_567)
      ('compute_macs', '--macs', '1.23 M')
    """

    name: str
    """Attribute of `Row`, and name of the column in exports."""
    label: str
    """Name in sentences and titles of charts."""
    header: str
    """Title of the column where a table prints itself."""
    argument: str
    """Argument of `summarize` that requests the measure. Several measures may share one."""
    help: str
    """Description of the command's option."""
    compute: Callable[[TracedCall], int]
    """Computes the number of a call. An exception becomes the reason why the number is unknown."""
    text: Callable[[int], str]
    """Formats a number with its unit."""
    includes_submodules: bool = False
    """True if a number is a sum that includes the calls of submodules. Charts show such measures."""
    estimate_note: str = ""
    """For an estimate: the sentence under a table that says so."""

    @property
    def option(self) -> str:
        """The option of the command `linen-summary`."""
        return f"--{self.argument.removeprefix('compute_').replace('_', '-')}"

    @property
    def column(self) -> str:
        """Name of the column in formats for other programs."""
        return f"{self.name} (estimated)" if self.estimate_note else self.name
