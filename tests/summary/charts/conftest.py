"""A table that the tests of charts draw."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import summarize

KEY = jax.random.key(0)


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(8, name="<shared & odd>")
        x = layer(nn.tanh(layer(x)))
        x = nn.Dense(4)(nn.gelu(nn.Dense(16)(x)))
        return nn.LayerNorm()(x) + self.param("bias", nn.initializers.ones, (4,))


@pytest.fixture(scope="module")
def table():
    return summarize(Model(), KEY, jnp.ones((2, 8)), compute_flops=True, compute_macs=True)
