"""What the parity tests of lifted transforms share: modules to transform, and what is compared of a call."""

from typing import Any

import jax
import jax.numpy as jnp

X = jnp.linspace(-1, 1, 8).reshape(2, 4)
MUTABLE = ["batch_stats", "intermediates", "state"]


def block(lib):
    """A module with all kinds of variables and keys, fit to be scanned over."""

    class Block(lib.Module):
        features: int = 4
        axis: Any = None

        @lib.compact
        def __call__(self, x, _=None):
            h = lib.Dense(self.features, name="d")(x)
            h = lib.BatchNorm(use_running_average=False, axis_name=self.axis)(h)
            h = lib.Dropout(0.5, deterministic=False)(h)
            self.sow("intermediates", "h", h)
            return jnp.maximum(h, 0) + x, h.sum()

    return Block


def boxed(lib):
    class Boxed(lib.Module):
        @lib.compact
        def __call__(self, x, _):
            init = lib.with_partitioning(lib.initializers.lecun_normal(), ("a", "b"))
            return lib.Dense(4, kernel_init=init)(x), None

    return Boxed


def model_of(lib, call):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            return call(lib, self, x)

    return Model()


def outcome(lib, call):
    """What init gives for a model of one call, and what apply gives."""
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    model = model_of(lib, call)
    y, variables = model.init_with_output(keys, X)
    rngs = {"dropout": jax.random.key(2)}
    return y, variables, model.apply(variables, X, rngs=rngs, mutable=MUTABLE)


def gradient(lib, call):
    """The gradient of the sum of what apply gives by the parameters."""
    _, variables, _ = outcome(lib, call)

    def loss(params):
        y, _ = model_of(lib, call).apply(
            {**variables, "params": params},
            X,
            rngs={"dropout": jax.random.key(2)},
            mutable=MUTABLE,
        )
        return sum(leaf.sum() for leaf in jax.tree.leaves(y))

    return jax.grad(loss)(variables["params"])
