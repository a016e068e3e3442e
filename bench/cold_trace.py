"""Measure the first trace of a model in a new process.

Usage: cold_trace.py hand|linen|flax mlp|transformer apply|step; prints seconds of CPU time.
"""

from __future__ import annotations

import importlib
import sys
import time

import hand
import jax
import jax.numpy as jnp

NAMES = {"linen": "linen_core", "flax": "flax.linen"}
LAYERS = ("Dense", "LayerNorm", "MultiHeadDotProductAttention", "gelu", "relu")
MODELS = {
    "mlp": ((8, 64), {"depth": 100, "features": 64}),
    "transformer": ((2, 16, 64), {"depth": 24}),
}


def array(*shape: int) -> jax.ShapeDtypeStruct:
    """Return the shape and dtype of a parameter."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def layer(kernel: tuple[int, ...], bias: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes and dtypes of the parameters of a linear layer."""
    return {"kernel": array(*kernel), "bias": array(*bias)}


def parameters(kind: str, depth: int) -> dict[str, object]:
    """Return the shapes and dtypes of a model's parameters. To run `init` would fill caches of traces."""
    if kind == "mlp":
        return {f"Dense_{number}": layer((64, 64), (64,)) for number in range(depth)}
    norm = {"scale": array(64), "bias": array(64)}
    project = layer((64, 4, 16), (4, 16))
    attention = {
        **dict.fromkeys(("query", "key", "value"), project),
        "out": layer((4, 16, 64), (64,)),
    }
    block = {
        "LayerNorm_0": norm,
        "LayerNorm_1": norm,
        "attention": attention,
        "Dense_0": layer((64, 256), (256,)),
        "Dense_1": layer((256, 64), (64,)),
    }
    return {f"Block_{number}": block for number in range(depth)}


def main(library: str, kind: str, call: str) -> None:
    """Trace `apply`, or a loss with its gradient."""
    shape, fields = MODELS[kind]
    if library == "hand":
        by_hand = getattr(hand, kind)
        options = {"depth": fields["depth"]} if kind == "transformer" else {}

        def apply(variables, x):
            return by_hand(variables, x, **options)
    else:
        nn = importlib.import_module(NAMES[library])
        apply = importlib.import_module("models").build(nn)[kind](**fields).apply
        for name in LAYERS:  # a name is imported when it is first used
            getattr(nn, name)
    variables = {"params": parameters(kind, fields["depth"])}
    program = jax.value_and_grad(lambda v, x: apply(v, x).sum()) if call == "step" else apply
    jax.jit(lambda x: x + 1).trace(array(1))  # the first trace also initialises JAX
    start = time.process_time()
    jax.jit(program).trace(variables, array(*shape))
    print(time.process_time() - start)


if __name__ == "__main__":
    main(*sys.argv[1:])
