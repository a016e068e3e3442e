"""Every layer is initialised and applied on a mesh with explicit axes, with the batch split over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import linen_core as nn

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (8, 6, 4))
IMAGES = jax.random.normal(KEY, (8, 6, 6, 4))

LAYERS = {
    "Dense": (nn.Dense(3), X),
    "DenseGeneral": (nn.DenseGeneral((3, 2), axis=(1, 2)), X),
    "Einsum": (nn.Einsum((4, 3), "abc,cd->abd"), X),
    "Embed": (nn.Embed(5, 3), jnp.arange(48).reshape(8, 6) % 5),
    "Conv": (nn.Conv(3, (3, 3)), IMAGES),
    "Conv with strides": (nn.Conv(3, (3, 3), strides=2, padding="VALID"), IMAGES),
    "Conv with groups": (nn.Conv(4, (3, 3), feature_group_count=2), IMAGES),
    "ConvLocal": (nn.ConvLocal(3, (3, 3)), IMAGES),
    "ConvTranspose": (nn.ConvTranspose(3, (3, 3), strides=(2, 2)), IMAGES),
    "BatchNorm": (nn.BatchNorm(use_running_average=False), X),
    "BatchNorm, averages": (nn.BatchNorm(use_running_average=True), X),
    "LayerNorm": (nn.LayerNorm(), X),
    "RMSNorm": (nn.RMSNorm(), X),
    "GroupNorm": (nn.GroupNorm(num_groups=2), IMAGES),
    "InstanceNorm": (nn.InstanceNorm(), IMAGES),
    "WeightNorm": (nn.WeightNorm(nn.Dense(3)), X),
    "PReLU": (nn.PReLU(), X),
    "Attention": (nn.MultiHeadDotProductAttention(2), X),
    "LSTM": (nn.RNN(nn.LSTMCell(3)), X),
    "OptimizedLSTM": (nn.RNN(nn.OptimizedLSTMCell(3)), X),
    "GRU": (nn.RNN(nn.GRUCell(3)), X),
    "MGU": (nn.RNN(nn.MGUCell(3)), X),
    "SimpleCell": (nn.RNN(nn.SimpleCell(3)), X),
    "Bidirectional": (nn.Bidirectional(nn.RNN(nn.GRUCell(3)), nn.RNN(nn.GRUCell(3))), X),
    "Sequential": (nn.Sequential([nn.Dense(3), nn.relu, nn.Dense(2)]), X),
    "Dropout": (nn.Dropout(0.5, deterministic=True), X),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_on_a_mesh_with_explicit_axes(name):
    layer, x = LAYERS[name]
    expected, changed = layer.init_with_output(KEY, x)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        split = jax.device_put(x, PartitionSpec("data"))
        variables = jax.jit(layer.init)(KEY, split)
        y, _ = jax.jit(lambda v, x: layer.apply(v, x, mutable=True))(variables, split)
        assert y.sharding.spec[0] == "data"
        has_gradients = "batch_stats" not in variables and (
            not isinstance(layer, nn.Conv | nn.ConvTranspose) or _differentiates_convolutions()
        )
        grads = (
            jax.jit(jax.grad(lambda v, x: (layer.apply(v, x, mutable=True)[0] ** 2).sum()))(
                {"params": variables.get("params", {})}, split
            )
            if has_gradients
            else None
        )
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, changed)
    if grads is not None:
        assert all(np.isfinite(one).all() for one in jax.tree.leaves(grads))


def _differentiates_convolutions():
    """Return whether JAX itself differentiates a convolution of split images. JAX 0.7.1 calls it a bug of its own."""
    images = jax.device_put(jnp.ones((8, 4, 6, 6)), PartitionSpec("data"))
    convolve = jax.grad(lambda kernel: jax.lax.conv(images, kernel, (1, 1), "SAME").sum())
    try:
        jax.jit(convolve)(jnp.ones((3, 4, 3, 3)))
    except Exception as error:
        return "potential JAX bug" not in str(error)
    return True


@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "min_pool"])
def test_a_pool_on_a_mesh_with_explicit_axes(name):
    pool = getattr(nn, name)
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    with jax.set_mesh(mesh):
        y = jax.jit(lambda x: pool(x, (2, 2), strides=(2, 2)))(
            jax.device_put(IMAGES, PartitionSpec("data"))
        )
    np.testing.assert_allclose(y, pool(IMAGES, (2, 2), strides=(2, 2)), rtol=1e-6)
