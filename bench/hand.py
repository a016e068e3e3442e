"""The models of the benchmarks, written in plain JAX with a dict of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["init_mlp", "mlp", "resnet", "scanned", "transformer", "vit"]


def mlp(variables, x, act=jax.nn.relu):
    """Dense layers with an activation between them."""
    params = variables["params"]
    for number in range(len(params)):
        layer = params[f"Dense_{number}"]
        x = act(x @ layer["kernel"] + layer["bias"])
    return x


def init_mlp(key, x, depth, features):
    """Create the parameters of `mlp` and run it, like `init`."""
    params = {}
    make = jax.nn.initializers.lecun_normal()
    for number, layer_key in enumerate(jax.random.split(key, depth)):
        kernel = make(layer_key, (x.shape[-1], features))
        params[f"Dense_{number}"] = layer = {"kernel": kernel, "bias": jnp.zeros(features)}
        x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
    return {"params": params}


def layer_norm(params, x):
    """Apply layer normalisation over the last axis."""
    mean = jnp.mean(x, -1, keepdims=True)
    var = jnp.mean(jnp.square(x), -1, keepdims=True) - jnp.square(mean)
    return (x - mean) * lax.rsqrt(var + 1e-6) * params["scale"] + params["bias"]


def attention(params, x):
    """Multi-head self-attention."""
    q, k, v = (
        jnp.einsum("bld,dhk->blhk", x, params[name]["kernel"]) + params[name]["bias"]
        for name in ("query", "key", "value")
    )
    weights = jax.nn.softmax(jnp.einsum("bqhk,bthk->bhqt", q / jnp.sqrt(q.shape[-1]), k))
    y = jnp.einsum("bhqt,bthk->bqhk", weights, v)
    return jnp.einsum("blhk,hkd->bld", y, params["out"]["kernel"]) + params["out"]["bias"]


def block(params, x):
    """Apply one pre-norm transformer block."""
    x = x + attention(params["attention"], layer_norm(params["LayerNorm_0"], x))
    h = layer_norm(params["LayerNorm_1"], x)
    h = jax.nn.gelu(h @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    return x + h @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"]


def transformer(variables, x, depth, wrap=lambda fn: fn):
    """Apply transformer blocks one after another."""
    step = wrap(block)
    for number in range(depth):
        x = step(variables["params"][f"Block_{number}"], x)
    return x


def scanned(variables, x):
    """Apply transformer blocks with stacked parameters in a scan."""
    params = variables["params"]["Block_0"]
    return lax.scan(lambda x, layer: (block(layer, x), None), x, params)[0]


def batch_norm(params, stats, x):
    """Apply batch normalisation with running statistics."""
    scale = lax.rsqrt(stats["var"] + 1e-5) * params["scale"]
    return (x - stats["mean"]) * scale + params["bias"]


def conv(params, x, strides=1):
    """Convolve with padding."""
    return lax.conv_general_dilated(
        x, params["kernel"], (strides, strides), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def bottleneck(params, stats, x, strides):
    """One bottleneck block of ResNet."""
    h = jax.nn.relu(
        batch_norm(params["BatchNorm_0"], stats["BatchNorm_0"], conv(params["Conv_0"], x))
    )
    h = conv(params["Conv_1"], h, strides)
    h = jax.nn.relu(batch_norm(params["BatchNorm_1"], stats["BatchNorm_1"], h))
    h = batch_norm(params["BatchNorm_2"], stats["BatchNorm_2"], conv(params["Conv_2"], h))
    if "project" in params:
        x = conv(params["project"], x, strides)
        x = batch_norm(params["project_norm"], stats["project_norm"], x)
    return jax.nn.relu(x + h)


def resnet(variables, x, stages):
    """ResNet with bottleneck blocks, in inference."""
    params, stats = variables["params"], variables["batch_stats"]
    x = conv(params["stem"], x, 2)
    x = jax.nn.relu(batch_norm(params["stem_norm"], stats["stem_norm"], x))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    number = 0
    for stage, blocks in enumerate(stages):
        for index in range(blocks):
            name = f"Bottleneck_{number}"
            strides = 2 if stage and not index else 1
            x = bottleneck(params[name], stats[name], x, strides)
            number += 1
    x = jnp.mean(x, (1, 2))
    return x @ params["head"]["kernel"] + params["head"]["bias"]


def vit(variables, x, depth):
    """Apply a vision transformer."""
    params = variables["params"]
    kernel, bias = params["patches"]["kernel"], params["patches"]["bias"]
    layout = ("NHWC", "HWIO", "NHWC")
    x = lax.conv_general_dilated(x, kernel, kernel.shape[:2], "VALID", dimension_numbers=layout)
    x = (x + bias).reshape(len(x), -1, len(bias))
    first = jnp.broadcast_to(params["first"], (len(x), 1, len(bias)))
    x = jnp.concatenate([first, x], 1) + params["positions"]
    x = layer_norm(params["norm"], transformer(variables, x, depth))[:, 0]
    return x @ params["head"]["kernel"] + params["head"]["bias"]
