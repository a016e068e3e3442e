"""Dropout as a function of a scope."""

from __future__ import annotations

from linen_core.layers.stochastic import Dropout
from linen_core.scope import Scope
from linen_core.typing import Array, PRNGKey

__all__ = ["dropout"]


def dropout(
    scope: Scope,
    inputs: Array,
    rate: float,
    deterministic: bool = False,
    rng: PRNGKey | None = None,
) -> Array:
    """Set values to zero at random, and scale the others to keep the mean; see `linen_core.Dropout`.

    Args:
      scope: a scope with the RNG stream ``dropout``, unless ``rng`` is given.
      inputs: an array of any shape.
      rate: the probability of a zero.
      deterministic: whether to return the inputs unchanged.
      rng: a key to use in place of the stream.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from linen_core.scope import apply
      >>> y = apply(dropout)({}, jnp.ones(100), 0.5, rngs={"dropout": jax.random.key(0)})
      >>> sorted(set(y.tolist()))
      [0.0, 2.0]
    """
    return Dropout(rate, parent=scope)(inputs, deterministic=deterministic, rng=rng)
