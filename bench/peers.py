"""The models of the benchmarks in libraries whose API differs from that of flax.linen."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import haiku as hk
import jax
from flax import nnx

__all__ = [
    "NnxMLP",
    "NnxTransformer",
    "applied_mlps",
    "haiku_mlp",
    "haiku_resnet",
    "haiku_transformer",
    "initialised_mlps",
]


class NnxMLP(nnx.Module):
    """The MLP with flax.nnx."""

    def __init__(self, depth, features, rngs):
        self.layers = nnx.List([nnx.Linear(features, features, rngs=rngs) for _ in range(depth)])

    def __call__(self, x):
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x


class NnxBlock(nnx.Module):
    """The transformer block with flax.nnx."""

    def __init__(self, features, rngs):
        self.norms = nnx.List([nnx.LayerNorm(features, rngs=rngs) for _ in range(2)])
        self.attention = nnx.MultiHeadAttention(4, features, decode=False, rngs=rngs)
        self.widen = nnx.Linear(features, 4 * features, rngs=rngs)
        self.narrow = nnx.Linear(4 * features, features, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.narrow(jax.nn.gelu(self.widen(self.norms[1](x))))


class NnxTransformer(nnx.Module):
    """The transformer with flax.nnx."""

    def __init__(self, depth, features, rngs):
        self.blocks = nnx.List([NnxBlock(features, rngs) for _ in range(depth)])

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class EqxMLP(eqx.Module):
    """The MLP with equinox."""

    layers: list

    def __init__(self, depth, features, key):
        keys = jax.random.split(key, depth)
        self.layers = [eqx.nn.Linear(features, features, key=key) for key in keys]

    def __call__(self, x):
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return x


def haiku_mlp(depth: int, features: int) -> Any:
    """Return the MLP in haiku."""

    def forward(x):
        for _ in range(depth):
            x = jax.nn.relu(hk.Linear(features)(x))
        return x

    return hk.without_apply_rng(hk.transform(forward))


def haiku_transformer(depth: int) -> Any:
    """Return the transformer in haiku."""

    def forward(x):
        features = x.shape[-1]
        for _ in range(depth):
            h = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
            attention = hk.MultiHeadAttention(
                4, features // 4, w_init=hk.initializers.TruncatedNormal(0.1)
            )
            x = x + attention(h, h, h)
            h = hk.LayerNorm(-1, create_scale=True, create_offset=True)(x)
            x = x + hk.Linear(features)(jax.nn.gelu(hk.Linear(4 * features)(h)))
        return x

    return hk.without_apply_rng(hk.transform(forward))


def haiku_resnet() -> Any:
    """Return ResNet-50 in haiku."""

    def forward(x):
        return hk.nets.ResNet50(1000)(x, is_training=True)

    return hk.without_apply_rng(hk.transform_with_state(forward))


def initialised_mlps(depth: int, features: int, x: Any) -> dict[str, Any]:
    """Return functions of a key that create the MLP."""
    return {
        "nnx": lambda key: nnx.state(NnxMLP(depth, features, nnx.Rngs(key))),
        "haiku": lambda key: haiku_mlp(depth, features).init(key, x),
        "equinox": lambda key: eqx.filter(EqxMLP(depth, features, key), eqx.is_array),
    }


def applied_mlps(depth: int, features: int, x: Any) -> dict[str, Any]:
    """Return pairs of a function of state and input, and its state."""
    key = jax.random.key(0)
    graph, state = nnx.split(NnxMLP(depth, features, nnx.Rngs(0)))
    transformed = haiku_mlp(depth, features)
    arrays, static = eqx.partition(EqxMLP(depth, features, key), eqx.is_array)
    return {
        "nnx": (lambda state, x: nnx.merge(graph, state)(x), state),
        "haiku": (transformed.apply, transformed.init(key, x)),
        "equinox": (lambda arrays, x: jax.vmap(eqx.combine(arrays, static))(x), arrays),
    }
