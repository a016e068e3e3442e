"""Calls are recorded in one abstract run, with specifications for arrays."""

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_summary import summarize

KEY = jax.random.key(0)


X = jax.ShapeDtypeStruct((2, 3), jnp.float32)


def total_size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


def test_shapes_keys_and_flags():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool, mode: str = "a"):
            x = nn.Dropout(0.5, deterministic=not train)(x)
            return nn.Dense(3 if mode == "b" else 2)(x)

    keys = jax.eval_shape(lambda: {"params": KEY, "dropout": KEY})
    table = summarize(Model(), keys, X, True, mode="b")
    assert table[0].inputs == (X, True, {"mode": "b"})
    assert table[0].outputs.shape == (2, 3)


def test_nothing_is_computed():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1 << 20)(nn.Dense(1 << 20)(x))

    before = len(jax.live_arrays())
    table = summarize(Model(), KEY, X, compute_flops=True)  # four terabytes of parameters
    assert table.bytes > 4e12
    assert len(jax.live_arrays()) <= before


def test_any_dtype():
    class Odd(nn.Module):
        @nn.compact
        def __call__(self, key, x):
            self.param("small", lambda _: jnp.zeros(4, jnp.float8_e4m3fn))
            self.variable("keys", "key", lambda: key)
            return {"x": x.astype(jnp.int4), "key": key}

    table = summarize(Odd(), KEY, KEY, X, compute_flops=True)
    assert str(table[0].inputs[0].dtype) == "key<fry>"
    assert table.totals() == {"keys": (1, 8), "params": (4, 4)}
    assert "key: key<fry>[]" in table.to_csv()


def test_numbers_of_python_are_the_arrays_that_init_makes_of_them():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            self.variable("state", "steps", lambda: 0)
            self.variable("state", "rate", lambda: 0.5)
            return x

    table = summarize(Model(), KEY, X)
    variables = jax.eval_shape(Model().init, KEY, X)
    assert table.size == total_size(variables) == 2
    assert table.bytes == 8


def test_numpy_inputs_keep_their_values():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x, sizes):
            return nn.Dense(int(sizes.max()))(x)

    table = summarize(Model(), KEY, X, np.array([2, 5]))
    assert table[0].outputs.shape == (2, 5)
