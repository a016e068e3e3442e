"""Stopping when a metric does not improve any more."""

from __future__ import annotations

import math
from typing import Any, Self

from linen_core import struct

__all__ = ["EarlyStopping"]


class EarlyStopping(struct.PyTreeNode):
    """Counts the updates without an improvement of a metric. Smaller is better.

    Example:
      >>> stopping = EarlyStopping(min_delta=0.1, patience=1)
      >>> for epoch, loss in enumerate([4.0, 3.0, 2.95, 2.94, 1.0]):
      ...     stopping = stopping.update(loss)
      ...     if stopping.should_stop:
      ...         break
      >>> epoch, stopping.best_metric
      (3, 3.0)
    """

    min_delta: float = 0
    """An improvement is larger than this."""
    patience: int = 0
    """Updates without an improvement that are allowed."""
    best_metric: float = float("inf")
    """The metric at the last improvement."""
    patience_count: int = 0
    """Updates since the last improvement."""
    should_stop: bool = False
    """True if ``patience`` is used up. It stays true until `reset`."""
    has_improved: bool = False
    """True if the last update was an improvement."""

    def reset(self) -> Self:
        """Return the state before the first update."""
        return self.replace(
            best_metric=float("inf"), patience_count=0, should_stop=False, has_improved=False
        )

    def update(self, metric: Any) -> Self:
        """Return the state after one more value of the metric, a number."""
        if math.isinf(self.best_metric) or self.best_metric - metric > self.min_delta:
            return self.replace(best_metric=metric, patience_count=0, has_improved=True)
        return self.replace(
            patience_count=self.patience_count + 1,
            should_stop=self.should_stop or self.patience_count >= self.patience,
            has_improved=False,
        )
