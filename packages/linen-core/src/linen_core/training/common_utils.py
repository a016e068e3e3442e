"""Helpers for data parallelism with `jax.pmap`, with the names of ``flax.training.common_utils``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from linen_core.jax_utils import unreplicate
from linen_core.typing import Array, PRNGKey, PyTree

__all__ = ["get_metrics", "onehot", "shard", "shard_prng_key", "stack_forest"]


def shard(xs: PyTree) -> Any:
    """Split the leading axis of each array into one part for each device of this process.

    Args:
      xs: a pytree of arrays of shape (batch, ...).

    Returns:
      The arrays in the shape (devices, batch / devices, ...).

    Example:
      >>> shard(jnp.ones((8 * jax.local_device_count(), 3))).shape[1:]
      (8, 3)
    """
    count = jax.local_device_count()
    return jax.tree.map(lambda x: x.reshape((count, -1, *x.shape[1:])), xs)


def shard_prng_key(prng_key: PRNGKey) -> PRNGKey:
    """Split a key into one for each device of this process.

    Example:
      >>> shard_prng_key(jax.random.key(0)).shape == (jax.local_device_count(),)
      True
    """
    return jax.random.split(prng_key, jax.local_device_count())


def stack_forest(forest: Sequence[PyTree]) -> Any:
    """Stack the leaves of trees that have the same structure and shapes.

    Example:
      >>> stack_forest([{"loss": jnp.float32(1)}, {"loss": jnp.float32(2)}])
      {'loss': Array([1., 2.], dtype=float32)}
    """
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *forest)


def get_metrics(device_metrics: Sequence[PyTree]) -> Any:
    """Stack the metrics of several steps, which are the same on all devices.

    Args:
      device_metrics: for each step a pytree of arrays with a leading axis over devices, as `jax.pmap` returns them.

    Returns:
      A pytree of arrays of shape (steps, ...).

    Example:
      >>> from linen_core.jax_utils import replicate
      >>> get_metrics([replicate({"loss": 1.0}), replicate({"loss": 2.0})])
      {'loss': Array([1., 2.], dtype=float32)}
    """
    return stack_forest(jax.device_get(unreplicate(device_metrics)))


def onehot(labels: Array, num_classes: int, on_value: float = 1.0, off_value: float = 0.0) -> Array:
    """Encode labels as vectors. `jax.nn.one_hot` is the same with the values 1 and 0.

    Args:
      labels: integers of any shape. A label outside of 0 ... ``num_classes`` - 1 is nowhere on.
      num_classes: length of the vectors.
      on_value: the value at the label.
      off_value: the value elsewhere.

    Returns:
      float32 values of shape (*labels.shape, num_classes).

    Example:
      >>> onehot(jnp.array([1]), 3, on_value=0.9)
      Array([[0. , 0.9, 0. ]], dtype=float32)
    """
    is_on = labels[..., None] == jnp.arange(num_classes)
    return jnp.where(is_on, jnp.float32(on_value), jnp.float32(off_value))
