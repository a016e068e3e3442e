"""The parameters of the models of `hand`, initialised in plain JAX with the distributions of the layers of Linen."""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["resnet", "transformer", "vit"]


def kernel(key, inputs, outputs):
    """Draw the kernel of a linear layer from its input and output axes."""
    ins, outs = range(len(inputs)), range(len(inputs), len(inputs) + len(outputs))
    make = jax.nn.initializers.lecun_normal(in_axis=tuple(ins), out_axis=tuple(outs))
    return make(key, (*inputs, *outputs))


def linear(key, inputs, outputs):
    """Create a linear layer."""
    return {"kernel": kernel(key, inputs, outputs), "bias": jnp.zeros(outputs)}


def norm(features):
    """Create the parameters of a normalisation."""
    return {"scale": jnp.ones(features), "bias": jnp.zeros(features)}


def block(key, width, heads):
    """Create a transformer block."""
    keys = jax.random.split(key, 6)
    split = (heads, width // heads)
    names = ("query", "key", "value")
    projections = {
        name: linear(key, (width,), split) for name, key in zip(names, keys[:3], strict=True)
    }
    return {
        "LayerNorm_0": norm(width),
        "LayerNorm_1": norm(width),
        "attention": {**projections, "out": linear(keys[3], split, (width,))},
        "Dense_0": linear(keys[4], (width,), (4 * width,)),
        "Dense_1": linear(keys[5], (4 * width,), (width,)),
    }


def blocks(key, depth, width, heads):
    """Create transformer blocks."""
    keys = jax.random.split(key, depth)
    return {f"Block_{number}": block(key, width, heads) for number, key in enumerate(keys)}


def transformer(key, depth, width=64, heads=4):
    """Create the variables of `hand.transformer`."""
    return {"params": blocks(key, depth, width, heads)}


def vit(key, depth, width=192, heads=3, patch=8, tokens=65):
    """Create the variables of `hand.vit`."""
    keys = jax.random.split(key, 4)
    params = {
        "patches": linear(keys[0], (patch, patch, 3), (width,)),
        "first": jnp.zeros((1, 1, width)),
        "positions": 0.02 * jax.random.normal(keys[1], (1, tokens, width)),
        "norm": norm(width),
        "head": linear(keys[2], (width,), (1000,)),
    }
    return {"params": {**params, **blocks(keys[3], depth, width, heads)}}


def bottleneck(key, inputs, features, project):
    """Create the parameters of a bottleneck block of ResNet."""
    shapes = {
        ("Conv_0", "BatchNorm_0"): (1, inputs, features),
        ("Conv_1", "BatchNorm_1"): (3, features, features),
        ("Conv_2", "BatchNorm_2"): (1, features, 4 * features),
    }
    if project:
        shapes["project", "project_norm"] = (1, inputs, 4 * features)
    params = {}
    for (conv, batch_norm), (size, ins, outs) in shapes.items():
        key, own = jax.random.split(key)
        params[conv] = {"kernel": kernel(own, (size, size, ins), (outs,))}
        params[batch_norm] = norm(outs)
    return params


def statistics(params):
    """Create the running statistics for the normalisations of a tree of parameters."""
    if "scale" in params:
        return {"mean": jnp.zeros_like(params["scale"]), "var": jnp.ones_like(params["scale"])}
    inner = {name: statistics(child) for name, child in params.items() if isinstance(child, dict)}
    return {name: child for name, child in inner.items() if child}


def resnet(key, stages):
    """Create the variables of `hand.resnet`."""
    stem, head, *keys = jax.random.split(key, 2 + sum(stages))
    params = {
        "stem": {"kernel": kernel(stem, (7, 7, 3), (64,))},
        "stem_norm": norm(64),
        "head": linear(head, (256 * 2 ** (len(stages) - 1),), (1000,)),
    }
    inputs = 64
    for stage, count in enumerate(stages):
        features = 64 * 2**stage
        for index in range(count):
            number = sum(stages[:stage]) + index
            params[f"Bottleneck_{number}"] = bottleneck(keys[number], inputs, features, not index)
            inputs = 4 * features
    return {"params": params, "batch_stats": statistics(params)}
