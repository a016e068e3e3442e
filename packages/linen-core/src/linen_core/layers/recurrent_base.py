"""Base classes of recurrent cells."""

from __future__ import annotations

from typing import Any

from jax import random

from linen_core.layers import initializers
from linen_core.module import Module, nowrap
from linen_core.typing import Array, PRNGKey

__all__ = ["Carry", "OneStateCell", "RNNCellBase", "TwoStatesCell", "default_recurrent_init"]

Carry = Any

default_recurrent_init = initializers.orthogonal()


class RNNCellBase(Module):
    """Base of the cells that `RNN` runs: modules called as `carry, y = cell(carry, x)`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> class Sum(nn.RNNCellBase):
    ...     def __call__(self, carry, x):
    ...         return carry + x, carry + x
    ...     @nn.nowrap
    ...     def initialize_carry(self, rng, input_shape):
    ...         return jnp.zeros(input_shape)
    ...     @property
    ...     def num_feature_axes(self):
    ...         return 1
    >>> print(nn.RNN(Sum()).apply({}, jnp.ones((3, 1)))[:, 0])
    [1. 2. 3.]
    """

    @nowrap
    def initialize_carry(self, rng: PRNGKey, input_shape: tuple[int, ...]) -> Carry:
        """Create the carry of the first step.

        Args:
          rng: a key.
          input_shape: shape of the input of the cell.

        Returns:
          A carry, in the form that the cell takes and returns.
        """
        raise NotImplementedError

    @property
    def num_feature_axes(self) -> int:
        """Number of trailing axes of the input that are feature axes."""
        raise NotImplementedError


class OneStateCell(RNNCellBase):
    """Base of the cells whose carry is a hidden state of shape (batch..., features)."""

    @nowrap
    def initialize_carry(self, rng: PRNGKey, input_shape: tuple[int, ...]) -> Array:
        return _state(self, rng, input_shape)

    @property
    def num_feature_axes(self) -> int:
        return 1


class TwoStatesCell(RNNCellBase):
    """Base of the cells whose carry is memory and hidden state, each of shape (batch..., features)."""

    @nowrap
    def initialize_carry(self, rng: PRNGKey, input_shape: tuple[int, ...]) -> tuple[Array, Array]:
        memory_key, hidden_key = random.split(rng)
        return _state(self, memory_key, input_shape), _state(self, hidden_key, input_shape)

    @property
    def num_feature_axes(self) -> int:
        return 1


def _state(cell: Any, rng: PRNGKey, input_shape: tuple[int, ...]) -> Array:
    """Create a state of shape (batch..., features) with the cell's `carry_init`."""
    return cell.carry_init(rng, (*input_shape[:-1], cell.features), cell.param_dtype)
