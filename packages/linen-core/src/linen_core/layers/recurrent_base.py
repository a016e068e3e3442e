"""What all cells of recurrent networks share."""

from __future__ import annotations

from typing import Any

from jax import random

from linen_core.layers import initializers
from linen_core.module import Module, nowrap
from linen_core.typing import Array, PRNGKey

__all__ = ["Carry", "RNNCellBase", "default_recurrent_init", "one_state", "two_states"]

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
        """Make the carry for the first step.

        Args:
          rng: a key.
          input_shape: shape of the cell's input.

        Returns:
          A carry, as the cell takes and returns it.
        """
        raise NotImplementedError

    @property
    def num_feature_axes(self) -> int:
        """How many of the input's last axes are no batch axes."""
        raise NotImplementedError


def one_state(cell: Any, rng: PRNGKey, input_shape: tuple[int, ...]) -> Array:
    """Make a state of shape (batch..., features) by the cell's `carry_init`."""
    return cell.carry_init(rng, (*input_shape[:-1], cell.features), cell.param_dtype)


def two_states(cell: Any, rng: PRNGKey, input_shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Make a memory and a hidden state of shape (batch..., features)."""
    memory_key, hidden_key = random.split(rng)
    memory = one_state(cell, memory_key, input_shape)
    return memory, one_state(cell, hidden_key, input_shape)
