"""Normalizations against a float64 reference, and attention where nothing may be attended to."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

NORMS = {
    "LayerNorm": (nn.LayerNorm, (-1,)),
    "GroupNorm": (lambda **kwargs: nn.GroupNorm(1, **kwargs), (1, 2)),
    "BatchNorm": (lambda **kwargs: nn.BatchNorm(use_running_average=False, **kwargs), (0, 1)),
    "InstanceNorm": (nn.InstanceNorm, (1,)),
}


def _reference(x, axes, epsilon):
    x = np.asarray(x, np.float64)
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(var + epsilon)


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize(
    ("mean", "spread", "fast", "tolerance"),
    [
        (0.0, 1.0, True, 2e-6),
        (10.0, 1.0, True, 1e-4),
        (1e3, 1.0, False, 1e-3),
        (0.0, 1e-3, True, 2e-6),
        (0.0, 1e3, True, 2e-6),
    ],
    ids=["plain", "shifted", "far, two passes", "narrow", "wide"],
)
def test_against_float64(name, mean, spread, fast, tolerance):
    make, axes = NORMS[name]
    x = mean + spread * jax.random.normal(jax.random.key(0), (4, 64, 8))
    layer = make(use_fast_variance=fast, epsilon=1e-6)
    y = layer.init_with_output(jax.random.key(1), x)[0]
    assert np.abs(np.asarray(y, np.float64) - _reference(x, axes, 1e-6)).max() < tolerance


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("fast", [True, False])
def test_constant_input_of_any_size_gives_finite_output(name, fast):
    make, _ = NORMS[name]
    x = jnp.full((4, 64, 8), 12345.678)
    y = make(use_fast_variance=fast).init_with_output(jax.random.key(1), x)[0]
    assert bool(jnp.isfinite(y).all())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("jit", [True, False])
def test_row_that_is_masked_as_a_whole_attends_to_all_alike(dtype, jit):
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 1, 4)).astype(dtype)
    mask = jnp.ones((5, 5), bool).at[2].set(False)

    def attend(q, k, v):
        return nn.dot_product_attention_weights(q, k, mask=mask), nn.dot_product_attention(
            q, k, v, mask=mask
        )

    weights, y = (jax.jit(attend) if jit else attend)(q, k, v)
    assert np.array_equal(weights[:, 0, 2], np.full((2, 5), 0.2, dtype))
    np.testing.assert_allclose(np.float32(y[:, 2]), np.float32(v).mean(axis=1), atol=1e-2)
    grads = jax.grad(lambda *args: attend(*args)[1].astype(jnp.float32).sum(), argnums=(0, 1, 2))(
        q, k, v
    )
    assert all(bool(jnp.isfinite(g).all()) for g in grads)
    assert not np.asarray(grads[0][:, 2]).any()


def test_embedding_of_an_index_that_is_not_there_is_nan():
    layer = nn.Embed(3, 2)
    variables = layer.init(jax.random.key(0), jnp.array([0]))
    y = layer.apply(variables, jnp.array([2, 3]))
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()


def test_group_norm_takes_a_mask_without_features():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6))
    layer = nn.GroupNorm(2)
    variables = layer.init(jax.random.key(0), x)
    mask = jnp.array([1, 1, 1, 0])[:, None]
    wide = jnp.broadcast_to(mask, x.shape)
    narrow, full = (layer.apply(variables, x, mask=m) for m in (mask, wide))
    np.testing.assert_allclose(narrow, full, atol=1e-6)


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_dropout_keeps_the_mean(rate):
    y = nn.Dropout(rate, deterministic=False).apply(
        {}, jnp.ones(10_000), rngs={"dropout": jax.random.key(0)}
    )
    assert abs(float(y.mean()) - 1.0) < 0.05
    assert abs(float((y == 0).mean()) - rate) < 0.03
