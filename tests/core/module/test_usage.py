"""`nn.touched`: what a call reads, misses and leaves alone, without reading a value."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        x = nn.Dense(4)(x)
        x = nn.BatchNorm(use_running_average=True)(x)
        return x, None


class Model(nn.Module):
    deep: bool = True

    @nn.compact
    def __call__(self, x, train=False):
        x, _ = Block(name="first")(x)
        if self.deep:
            looped = nn.scan(
                nn.remat(Block),
                variable_axes={"params": 0, "batch_stats": 0},
                split_rngs={"params": True},
                length=3,
            )
            x, _ = looped(name="layers")(x, None)
        if train:
            x = nn.Dense(1, name="training_head")(x)
        return x


X = jax.ShapeDtypeStruct((2, 4), jnp.float32)


def variables():
    return Model().init(jax.random.key(0), jnp.ones((2, 4)), train=True)


def addresses(found):
    return {"/".join((col, *path)) for col, path in found}


class Watched(nn.MemoryStore):
    """A store that says it is lazy, and counts reads."""

    reads = 0

    @property
    def capabilities(self):
        return nn.StoreCapabilities(lazy=True)

    def read(self, collection, paths):
        self.reads += len(paths)
        return super().read(collection, paths)


def test_reads_are_found_through_transforms_and_nothing_is_read():
    store = Watched(variables())
    found = nn.touched(Model(), store, X)
    assert store.reads == 0
    assert not found.missing
    assert addresses(found.unused) == {
        "params/training_head/bias",
        "params/training_head/kernel",
    }
    assert len(found.read) == 12
    assert found.read["params", ("layers", "Dense_0", "kernel")].shape == (3, 4, 4)


def test_branches_not_taken_are_left_alone():
    found = nn.touched(Model(deep=False), variables(), X)
    assert all(path[0] != "layers" for _, path in found.read)
    assert any(path[0] == "layers" for _, path in found.unused)


def test_missing_variables_come_with_what_their_initializer_makes():
    given = variables()
    del given["params"]["first"]["Dense_0"]["bias"]
    del given["batch_stats"]["layers"]
    found = nn.touched(Model(), given, X)
    assert addresses(found.missing) == {
        "params/first/Dense_0/bias",
        "batch_stats/layers/BatchNorm_0/mean",
        "batch_stats/layers/BatchNorm_0/var",
    }
    assert found.missing["params", ("first", "Dense_0", "bias")].shape == (4,)


def test_a_wrong_shape_is_an_error():
    given = variables()
    given["params"]["first"]["Dense_0"]["bias"] = jnp.ones(5)
    with pytest.raises(
        nn.errors.ScopeParamShapeError, match="expected shape \\(4,\\), found \\(5,\\)"
    ):
        nn.touched(Model(), given, X)


def test_methods_keys_and_static_arguments_are_passed_on():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x

        @nn.compact
        def noisy(self, x, scale):
            w = self.param("w", nn.initializers.ones, (4,))
            return x * w + scale * jax.random.normal(self.make_rng("noise"), x.shape)

    found = nn.touched(
        Noisy(),
        {"params": {"w": jnp.ones(4)}},
        X,
        2,
        method="noisy",
        rngs={"noise": jax.random.key(0)},
    )
    assert addresses(found.read) == {"params/w"}
    assert addresses(nn.touched(Noisy(), {"params": {"w": jnp.ones(4)}}, X).unused) == {"params/w"}


def test_a_variable_without_initializer_cannot_be_guessed():
    class Reads(nn.Module):
        @nn.compact
        def __call__(self):
            return self.variable("state", "v").value

    with pytest.raises(nn.errors.ScopeCollectionNotFound):
        nn.touched(Reads(), {})
