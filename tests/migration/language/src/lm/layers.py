"""Layers with logically named axes."""
from typing import Any, Callable, Tuple

import jax.numpy as jnp
from flax.linen import (
    Module,  # the base
    compact,
    DenseGeneral as _DenseGeneral,
    with_logical_constraint,  # of activations
    with_logical_partitioning,  # of parameters
)
import flax.linen

from .config import Config
from .registry import activation, initializer

Axes = Tuple[str, ...]


def dense(features, axes: Axes, config: Config, *, axis=-1, name=None, init: Callable = None):
    """A dense layer whose kernel has named axes."""
    init = init or initializer("variance_scaling", 1.0, "fan_in", "truncated_normal")
    return _DenseGeneral(
        features,
        axis=axis,
        use_bias=False,
        dtype=config.dtype,
        kernel_init=with_logical_partitioning(init, axes),
        name=name,
    )


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
