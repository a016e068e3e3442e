"""`lazy_init` gives the bits of flax's `init`, though it compiles each initializer as a whole."""

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from parity._compare import parity_settings, plain

X = jnp.ones((2, 8))
SPEC = jax.ShapeDtypeStruct(X.shape, X.dtype)
BUILDERS = {
    "constant": [(0.5,)],
    "glorot_normal": [()],
    "glorot_uniform": [()],
    "he_normal": [()],
    "he_uniform": [()],
    "kaiming_normal": [()],
    "lecun_normal": [()],
    "lecun_uniform": [()],
    "normal": [(0.02,), (1.0,)],
    "ones_init": [()],
    "orthogonal": [(), (2.0,)],
    "truncated_normal": [(0.02,)],
    "uniform": [(0.5,)],
    "variance_scaling": [(2.0, "fan_avg", "normal"), (1.0, "fan_out", "uniform")],
    "zeros_init": [()],
}
CHOICES = [(name, args) for name, choices in BUILDERS.items() for args in choices]


def model(lib, kernel, bias, depth, dtype):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            for _ in range(depth):
                x = lib.Dense(
                    8,
                    kernel_init=getattr(lib.initializers, kernel[0])(*kernel[1]),
                    bias_init=getattr(lib.initializers, bias[0])(*bias[1]),
                    param_dtype=dtype,
                )(x)
                x = lib.LayerNorm()(x)
            return lib.BatchNorm(use_running_average=False)(x)

    return Model()


def ulps(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    whole = f"i{ours.itemsize}"
    return int(np.abs(ours.view(whole).astype(int) - theirs.view(whole).astype(int)).max())


@parity_settings(share=6)
@hypothesis.given(
    kernel=st.sampled_from(CHOICES),
    bias=st.sampled_from([("zeros_init", ()), ("normal", (0.1,)), ("constant", (3.0,))]),
    depth=st.sampled_from([1, 3]),
    dtype=st.sampled_from(["float32", "float32", "bfloat16"]),
    seed=st.integers(0, 10),
)
def test_bits_are_those_of_init(kernel, bias, depth, dtype, seed):
    key = jax.random.key(seed)
    if dtype == "bfloat16" and kernel[0] == "orthogonal":
        dtype = "float32"  # there is no QR decomposition in 16 bits
    ours = plain(model(nn, kernel, bias, depth, dtype).lazy_init(key, SPEC))
    theirs = plain(model(fnn, kernel, bias, depth, dtype).init(key, X))
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert max(jax.tree.leaves(jax.tree.map(ulps, ours, theirs))) == 0


def shifted_normal(key, shape, dtype=jnp.float32):
    return jax.random.normal(key, shape, dtype) * 0.1 + 0.3


def shifted_draw(key, shape, dtype=jnp.float32):
    return jax.random.normal(key, shape, dtype) + 0.3  # the draw ends with a product


def complement(key, shape, dtype=jnp.float32):
    return 1 - jax.random.uniform(key, shape, dtype) * 0.3


def product_of_draws(key, shape, dtype=jnp.float32):
    first, second = jax.random.split(key)
    return jax.random.normal(first, shape, dtype) * 0.1 + jax.random.uniform(second, shape, dtype)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("draw", [shifted_normal, shifted_draw, complement, product_of_draws])
def test_a_sum_of_products_is_rounded_as_in_init(draw, dtype):
    def made(lib, how, x):
        layer = lib.Dense(64, kernel_init=draw, bias_init=draw, param_dtype=dtype)
        return plain(getattr(layer, how)(jax.random.key(1), x))

    ours, theirs = made(nn, "lazy_init", SPEC), made(fnn, "init", X)
    assert max(jax.tree.leaves(jax.tree.map(ulps, ours, theirs))) == 0
