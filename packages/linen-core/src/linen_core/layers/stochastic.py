"""Layers with random numbers: Dropout."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax, random

from linen_core.errors import DropoutRateError
from linen_core.layers._common import where
from linen_core.layers._staging import staged
from linen_core.module import Module, compact, merge_param
from linen_core.typing import Array, PRNGKey

__all__ = ["Dropout"]


@staged("rate", "broadcast_dims")
def _drop(inputs: Array, key: PRNGKey, rate: float, broadcast_dims: tuple[int, ...]) -> Array:
    keep = 1.0 - rate
    shape = list(inputs.shape)
    for axis in broadcast_dims:
        shape[axis] = 1
    mask = jnp.broadcast_to(random.bernoulli(key, p=keep, shape=shape), inputs.shape)
    return lax.select(mask, inputs / keep, jnp.zeros_like(inputs))


class Dropout(Module):
    """Set random elements to zero, and scale up the others to keep the mean.

    Each element is set to zero with probability `rate`, and divided by `1 - rate` otherwise. The RNG stream
    `rng_collection` must be among the `rngs` of `apply`, unless `deterministic` is set. Source:
    Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html.

    Attributes:
      rate: the probability of zero, from 0 to 1.
      broadcast_dims: axes along which elements are dropped together.
      deterministic: return the input unchanged. It is given here or in the call.
      rng_collection: name of the RNG stream to draw from.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.Dropout(0.5, deterministic=False)
    >>> y = layer.apply({}, jnp.ones(100), rngs={"dropout": jax.random.key(0)})
    >>> sorted({float(v) for v in y})
    [0.0, 2.0]
    """

    rate: float
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @compact
    def __call__(
        self,
        inputs: Array,
        deterministic: bool | None = None,
        rng: PRNGKey | None = None,
    ) -> Array:
        """Drop elements.

        Args:
          inputs: an array of any shape, floating-point.
          deterministic: return the input unchanged; needed if the field is None.
          rng: the key for dropout, instead of one from the stream.

        Returns:
          An array of the same shape and dtype.

        Raises:
          DropoutRateError: the rate is not a probability.
        """
        deterministic = merge_param("deterministic", self.deterministic, deterministic)
        if not 0.0 <= self.rate <= 1.0:
            raise DropoutRateError(
                where(self), "rate", self.rate, "a probability, from 0 (keep all) to 1 (drop all)"
            )
        if self.rate == 0.0 or deterministic:
            return inputs
        if self.rate == 1.0:  # the division by 1 - rate would give nan
            return jnp.zeros_like(inputs)
        if rng is None:
            rng = self.make_rng(self.rng_collection)
        return _drop(inputs, rng, float(self.rate), tuple(self.broadcast_dims))
