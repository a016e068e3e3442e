"""Layers with logically named axes."""
from typing import Any, Tuple

import jax.numpy as jnp
from flax.linen import (
    Module,  # the base
    compact,
    with_logical_constraint,  # of activations
    with_logical_partitioning,  # of parameters
)
import flax.linen
from flax.linen.dtypes import promote_dtype as promote_dtype

from .config import Config
from .registry import activation, initializer

Axes = Tuple[str, ...]


class DenseGeneral(Module):
    """A linear map between several axes. The kernel keeps all of them, each with its name."""

    features: Tuple[int, ...]
    axes: Axes
    contracted: int = 1
    dtype: Any = jnp.float32

    @compact
    def __call__(self, x):
        n = self.contracted
        shape = x.shape[-n:] + tuple(self.features)
        init = initializer(
            "variance_scaling", 1.0, "fan_in", "truncated_normal", range(n), range(n, len(shape))
        )
        kernel = self.param("kernel", with_logical_partitioning(init, self.axes), shape, jnp.float32)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return jnp.tensordot(x, kernel, n)


def dense(features, axes: Axes, config: Config, **kwargs):
    features = features if isinstance(features, tuple) else (features,)
    return DenseGeneral(features, axes, dtype=config.dtype, **kwargs)


class RMSNorm(Module):
    epsilon: float = 1e-6
    dtype: Any = jnp.float32

    @compact
    def __call__(self, x):
        x = jnp.asarray(x, jnp.float32)
        y = x * jnp.reciprocal(jnp.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon))
        init = with_logical_partitioning(flax.linen.initializers.ones_init(), ("embed",))
        return jnp.asarray(y * self.param("scale", init, (x.shape[-1],), jnp.float32), self.dtype)


class MlpBlock(Module):
    config: Config

    @compact
    def __call__(self, x, deterministic: bool):
        config, y = self.config, 1
        for i, name in enumerate(config.mlp_activations):
            y = y * activation(name)(dense(config.mlp, ("embed", "mlp"), config, name=f"wi_{i}")(x))
        y = flax.linen.Dropout(config.dropout, broadcast_dims=(-2,))(y, deterministic=deterministic)
        y = with_logical_constraint(y, ("batch", "length", "mlp"))
        return dense(config.emb, ("mlp", "embed"), config, name="wo")(y)
