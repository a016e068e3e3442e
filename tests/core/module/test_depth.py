"""Deep and long models: no recursion limit is met."""

import jax
import jax.numpy as jnp

import linen_core as nn

X = jnp.ones((1, 2))


class Nested(nn.Module):
    depth: int

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(2)(x)
        return Nested(self.depth - 1)(x) if self.depth else x


class Long(nn.Module):
    depth: int

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = x * self.param_of(x)
        return x

    @nn.nowrap
    def param_of(self, x):
        return Scale()(x)


class Scale(nn.Module):
    @nn.compact
    def __call__(self, x):
        return self.param("scale", nn.initializers.ones, (x.shape[-1],))


def test_fifty_levels_of_nesting():
    variables = jax.eval_shape(Nested(50).init, jax.random.key(0), X)
    assert jax.eval_shape(Nested(50).apply, variables, X).shape == (1, 2)
    inner = variables["params"]
    for _ in range(50):
        inner = inner["Nested_0"]
    assert inner["Dense_0"]["kernel"].shape == (2, 2)


def test_two_thousand_layers():
    variables = jax.eval_shape(Long(2000).init, jax.random.key(0), X)
    assert len(variables["params"]) == 2000
    assert jax.eval_shape(Long(2000).apply, variables, X).shape == (1, 2)
