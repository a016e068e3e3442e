"""The MLP of the benchmarks in libraries with other APIs than flax.linen's."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import haiku as hk
import jax
from flax import nnx

__all__ = ["applied_mlps", "initialised_mlps"]


class NnxMLP(nnx.Module):
    """The MLP with flax.nnx."""

    def __init__(self, depth, features, rngs):
        self.layers = nnx.List([nnx.Linear(features, features, rngs=rngs) for _ in range(depth)])

    def __call__(self, x):
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
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


def _haiku(depth, features):
    def forward(x):
        for _ in range(depth):
            x = jax.nn.relu(hk.Linear(features)(x))
        return x

    return hk.without_apply_rng(hk.transform(forward))


def initialised_mlps(depth: int, features: int, x: Any) -> dict[str, Any]:
    """Functions of a key that make the MLP."""
    return {
        "nnx": lambda key: nnx.state(NnxMLP(depth, features, nnx.Rngs(key))),
        "haiku": lambda key: _haiku(depth, features).init(key, x),
        "equinox": lambda key: eqx.filter(EqxMLP(depth, features, key), eqx.is_array),
    }


def applied_mlps(depth: int, features: int, x: Any) -> dict[str, Any]:
    """Pairs of a function of state and input, and its state."""
    key = jax.random.key(0)
    graph, state = nnx.split(NnxMLP(depth, features, nnx.Rngs(0)))
    transformed = _haiku(depth, features)
    arrays, static = eqx.partition(EqxMLP(depth, features, key), eqx.is_array)
    return {
        "nnx": (lambda state, x: nnx.merge(graph, state)(x), state),
        "haiku": (transformed.apply, transformed.init(key, x)),
        "equinox": (lambda arrays, x: jax.vmap(eqx.combine(arrays, static))(x), arrays),
    }
