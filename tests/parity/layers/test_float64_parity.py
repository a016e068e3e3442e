"""With 64 bits switched on, layers do what flax's do."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from parity.layers._draw import compare

LAYERS = {
    "Dense": {"features": 3},
    "DenseGeneral": {"features": (2, 2)},
    "Conv": {"features": 3, "kernel_size": (2,)},
    "ConvTranspose": {"features": 3, "kernel_size": (2,)},
    "LayerNorm": {},
    "RMSNorm": {},
    "GroupNorm": {"num_groups": 2},
    "BatchNorm": {"use_running_average": False},
    "MultiHeadAttention": {"num_heads": 2},
    "PReLU": {},
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("param_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", [None, "float64"])
def test_layer(name, param_dtype, dtype):
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (2, 5, 4), jnp.float64)
        options = {**LAYERS[name], "param_dtype": param_dtype}
        options |= {} if name == "PReLU" else {"dtype": dtype}
        mutable = ["batch_stats"] if name == "BatchNorm" else False
        y = compare(name, x, options=options, mutable=mutable)
    assert jax.tree.leaves(y)[0].dtype == jnp.float64
