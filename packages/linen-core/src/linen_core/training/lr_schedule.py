"""Learning rates by step, with the names of ``flax.training.lr_schedule``. New programs use the schedules of optax.

The warm-up of all of them is the linear one of Goyal et al., "Accurate, Large Minibatch SGD", 2017 (arXiv 1706.02677).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

__all__ = [
    "create_constant_learning_rate_schedule",
    "create_cosine_learning_rate_schedule",
    "create_stepped_learning_rate_schedule",
]

Schedule: TypeAlias = Callable[[Any], Any]
"""From the number of a step to the learning rate."""


def _warmed_up(schedule: Schedule, warmup_length: float, steps_per_epoch: int) -> Schedule:
    if warmup_length <= 0.0:
        return schedule
    return lambda step: (
        schedule(step) * jnp.minimum(1.0, step / float(warmup_length) / steps_per_epoch)
    )


def create_constant_learning_rate_schedule(
    base_learning_rate: float, steps_per_epoch: int, warmup_length: float = 0.0
) -> Schedule:
    """Return a constant schedule.

    Args:
      base_learning_rate: the learning rate after the warm-up.
      steps_per_epoch: the number of steps of an epoch.
      warmup_length: epochs over which the rate grows from 0.

    Example:
      >>> create_constant_learning_rate_schedule(0.1, 10)(3)
      0.1
    """
    return _warmed_up(lambda _: base_learning_rate, warmup_length, steps_per_epoch)


def create_stepped_learning_rate_schedule(
    base_learning_rate: float,
    steps_per_epoch: int,
    lr_sched_steps: Sequence[Sequence[float]],
    warmup_length: float = 0.0,
) -> Schedule:
    """Return a schedule that is constant between steps.

    Args:
      base_learning_rate: the learning rate before the first step.
      steps_per_epoch: the number of steps of an epoch.
      lr_sched_steps: pairs of an epoch and a factor of ``base_learning_rate`` that is used after the epoch.
      warmup_length: epochs over which the rate grows from 0.

    Example:
      >>> schedule = create_stepped_learning_rate_schedule(1.0, 10, [[3, 0.1], [6, 0.01]])
      >>> [round(float(schedule(step)), 2) for step in (0, 31, 61)]
      [1.0, 0.1, 0.01]
    """
    epochs = np.array([epoch for epoch, _ in lr_sched_steps])
    boundaries = np.round(epochs * steps_per_epoch).astype(int)
    values = np.array([1.0, *(factor for _, factor in lr_sched_steps)]) * base_learning_rate
    schedule = lambda step: jnp.take(values, jnp.sum(boundaries < step))
    return _warmed_up(schedule, warmup_length, steps_per_epoch)


def create_cosine_learning_rate_schedule(
    base_learning_rate: float,
    steps_per_epoch: int,
    halfcos_epochs: float,
    warmup_length: float = 0.0,
) -> Schedule:
    """Return a schedule of half a cosine wave, from ``base_learning_rate`` to 0.

    Args:
      base_learning_rate: the learning rate at the start.
      steps_per_epoch: the number of steps of an epoch.
      halfcos_epochs: epochs until the rate is 0.
      warmup_length: epochs over which the rate grows from 0.

    Example:
      >>> schedule = create_cosine_learning_rate_schedule(1.0, 10, 2)
      >>> [round(float(schedule(step)), 2) for step in (0, 10, 20)]
      [1.0, 0.5, 0.0]
    """
    steps = halfcos_epochs * steps_per_epoch
    schedule = lambda step: base_learning_rate * (jnp.cos(step * jnp.pi / steps) * 0.5 + 0.5)
    return _warmed_up(schedule, warmup_length, steps_per_epoch)
