"""Chooses the steps that are removed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["best_step", "removed_steps"]


def best_step(
    metrics: Mapping[int, Mapping[str, float]], name: str, *, largest: bool
) -> int | None:
    """Return the step with the best value of a metric, of equal ones the newest; None if no step has it.

    Values that are not finite never are the best.

    Args:
      metrics: the metrics of each step.
      name: the name of the metric.
      largest: the largest value is the best, instead of the smallest.

    Example:
      >>> best_step({1: {"loss": 0.5}, 2: {"loss": 0.25}, 3: {"loss": math.nan}}, "loss", largest=False)
      2
    """
    found = {
        step: values[name] if largest else -values[name]
        for step, values in metrics.items()
        if math.isfinite(values.get(name, math.nan))
    }
    return max(found, key=lambda step: (found[step], step), default=None)


def removed_steps(
    steps: Sequence[int],
    *,
    saved: int,
    keep: int | None,
    keep_every: int | None,
    best: int | None,
) -> list[int]:
    """Return the steps that need not be kept.

    Args:
      steps: all steps.
      saved: the step that was just saved, which is kept also if newer ones exist.
      keep: the number of newest steps to keep; None for all.
      keep_every: also keep the steps that this number divides.
      best: a step to keep, or None.

    Example:
      >>> removed_steps([100, 150, 200, 250, 300], saved=300, keep=1, keep_every=100, best=150)
      [250]
    """
    ordered = sorted(steps)
    old = [] if keep is None else ordered[: max(len(ordered) - keep, 0)]
    kept = {saved, best}
    return [
        step for step in old if step not in kept and not (keep_every and step % keep_every == 0)
    ]
