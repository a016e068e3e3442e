"""A model, its variables, and stores of them for the tests of tables."""

import jax
import jax.numpy as jnp

import linen_core as nn

KEY = jax.random.key(0)


X = jax.ShapeDtypeStruct((2, 6), jnp.float32)


class Head(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.Dense(3)(x))


class Model(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(self.width)(x))
        scale = self.param("scale", nn.initializers.ones, (1,))
        return Head()(x) * scale


VARIABLES = Model().init(KEY, jnp.ones(X.shape))


class Unread(nn.MemoryStore):
    """A store that fails when a value is read."""

    def read(self, collection, paths):
        raise AssertionError(paths)
