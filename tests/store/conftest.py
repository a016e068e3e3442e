"""What the tests of linen_store share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def _same(one, other):
    """Tell whether two trees have the same structure, kinds, dtypes and bits."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    return all(map(_same_leaf, jax.tree.leaves(one), jax.tree.leaves(other)))


def _same_leaf(one, other):
    if isinstance(one, jax.Array) != isinstance(other, jax.Array):
        return False
    if not hasattr(one, "dtype"):
        return type(one) is type(other) and one == other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
        one, other = jax.random.key_data(one), jax.random.key_data(other)
    return np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.fixture(scope="session")
def same():
    """A function that compares two trees bit for bit."""
    return _same


@pytest.fixture
def variables():
    """Several collections with every kind of value that Linen users store."""
    key = jax.random.key(0)
    return {
        "params": {
            "Dense_0": {
                "kernel": jax.random.normal(key, (3, 4)),
                "bias": jnp.arange(4, dtype=jnp.bfloat16),
            },
            "a.b": {"c": jnp.arange(3)},
            "a": {"slash/ed": jnp.float16(2.5)},
            "empty": {},
            "none": None,
        },
        "batch_stats": {"mean": jnp.array([0.0, -0.0, jnp.nan, jnp.inf])},
        "state": {
            "rng": jax.random.key(3),
            "keys": jax.random.split(jax.random.key(1), 3),
            "raw_key": jax.random.PRNGKey(7),
            "steps": (jnp.ones(2, bool), jnp.zeros((0, 3), jnp.int8), jnp.array(1 + 2j)),
            "numpy": np.arange(4),
            "number": 3,
            "fraction": 2.5,
            "name": "linen",
            "int4": jnp.array([1, -2, 3], jnp.int4),
            "fp8": jnp.array([1.0, -2.0], jnp.float8_e4m3fn),
        },
    }
