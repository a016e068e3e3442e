"""Keys drawn in blocks under `nn.remat` are those of the blocks' places."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

X = jnp.ones((2, 4))
STREAMS = {"dropout": jax.random.key(1), "noise": jax.random.PRNGKey(2)}
SPLITS = {"params": False, "dropout": True, "noise": False}
KEYS = {"params": jax.random.key(0), **STREAMS}


def noise(module, stream, x):
    return x + jax.random.normal(module.make_rng(stream), x.shape)


class Dropping(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dropout(0.5, deterministic=False)(nn.Dense(4)(x))
        return noise(self, "noise", noise(self, "dropout", noise(self, "noise", x)))


class Falling(nn.Module):
    """Draws from 'params' for want of a stream."""

    @nn.compact
    def __call__(self, x):
        return noise(self, "absent", x)


class InSetup(nn.Module):
    def setup(self):
        self.layers = [nn.Dense(4), nn.Dropout(0.5, deterministic=False)]
        self.key = self.make_rng("noise")

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x + jax.random.normal(self.key, x.shape)


class OfManyShapes(nn.Module):
    """Draws more keys for longer inputs."""

    @nn.compact
    def __call__(self, x):
        for _ in range(len(x)):
            x = noise(self, "dropout", x)
        return jnp.concatenate([x, x])


class Twice(nn.Module):
    """Draws beside and in a block of its own."""

    @nn.compact
    def __call__(self, x):
        return noise(self, "dropout", nn.remat(Dropping)()(x))


class Mapped(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.vmap(Dropping, variable_axes={"params": None}, split_rngs=SPLITS)()(x)


class Jitted(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.jit(Falling)()(x)


class Borrowing(nn.Module):
    shared: Any

    @nn.compact
    def __call__(self, x):
        return noise(self.shared, "dropout", noise(self, "noise", x))


def stack(layer, count=3, wrap=lambda cls: cls):
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            kind = wrap(layer)
            fields = {"shared": nn.Dense(3, name="lender")} if layer is Borrowing else {}
            for number in range(count):
                x = kind(**fields, name=f"block_{number}")(x)
            return noise(self, "dropout", x)

    return Stack()


BLOCKS = [
    Borrowing,
    Dropping,
    Falling,
    InSetup,
    Jitted,
    Mapped,
    OfManyShapes,
    Twice,
]


@pytest.mark.parametrize("layer", BLOCKS)
def test_every_block_draws_the_keys_of_its_place(layer):
    plain, rematted = stack(layer, 2), stack(layer, 2, wrap=nn.remat)
    variables = plain.init(KEYS, X)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, variables, rematted.init(KEYS, X)))
    expected, ours = (model.apply(variables, X, rngs=KEYS) for model in (plain, rematted))
    assert (expected == ours).all()


def test_gradients_are_those_without_remat():
    plain, rematted = stack(Dropping), stack(Dropping, wrap=nn.remat)
    variables = plain.init(KEYS, X)
    expected, ours = (
        jax.grad(lambda v, model=model: model.apply(v, X, rngs=STREAMS).sum())(variables)
        for model in (plain, rematted)
    )
    assert jax.tree.all(jax.tree.map(jnp.array_equal, expected, ours))


def test_a_jitted_run_draws_the_same():
    model = stack(Dropping, wrap=nn.remat)
    variables = model.init(KEYS, X)
    jitted = jax.jit(model.apply)(variables, X, rngs=STREAMS)
    assert jnp.allclose(jitted, model.apply(variables, X, rngs=STREAMS), rtol=1e-6)


def test_keys_under_vmap_are_of_each_element():
    model = stack(Dropping, wrap=nn.remat)
    variables = model.init(KEYS, X)
    keys = jax.random.split(jax.random.key(5), 3)

    def run(key):
        return model.apply(variables, X, rngs={**STREAMS, "dropout": key})

    mapped, alone = jax.vmap(run)(keys), jnp.stack([run(key) for key in keys])
    # Some CPUs add up a batched product in another order; another key would make all of it differ.
    assert jnp.allclose(mapped, alone, rtol=1e-5, atol=1e-5)
    assert not jnp.allclose(mapped[0], mapped[1], rtol=0.1)
