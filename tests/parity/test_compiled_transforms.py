"""Blocks under a lifted transform compile to no more operations than with flax, forward and backward."""

from __future__ import annotations

import re

import flax.linen as fnn
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare

X = jnp.linspace(-1.0, 1.0, 12).reshape(2, 6)


def _model(lib, transform):
    class Block(lib.Module):
        @lib.compact
        def __call__(self, x, _=None):
            y = lib.Dense(6)(lib.gelu(lib.Dense(8)(lib.LayerNorm()(x))))
            y = lib.Dropout(0.5, deterministic=False)(y)
            return (x + y, None) if transform == "scan" else x + y

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            if transform == "scan":
                axes = {
                    "variable_axes": {"params": 0},
                    "split_rngs": {"params": True, "dropout": True},
                }
                return lib.scan(Block, length=3, **axes)()(x, None)[0]
            wrapped = getattr(lib, transform)(Block)
            for _ in range(3):
                x = wrapped()(x)
            return x

    return Model()


def _compiled(lib, transform, gradient):
    """The number of operations of a program, and what it gives."""
    model = _model(lib, transform)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    with (
        compare.optimizations()
    ):  # without them the draws of a scan depend on what is compiled beside them
        variables = model.init(keys, X)

    def run(variables):
        return model.apply(variables, X, rngs={"dropout": keys["dropout"]})

    program = jax.grad(lambda variables: jnp.sin(run(variables)).sum()) if gradient else run
    with compare.optimizations():
        compiled = jax.jit(program).lower(variables).compile()
    return len(re.findall(r" = \S+ [a-z][\w-]*\(", compiled.as_text())), compiled(variables)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("transform", ["scan", "remat", "jit"])
def test_no_more_operations_than_flax(transform, gradient):
    ours, theirs = (_compiled(lib, transform, gradient) for lib in (nn, fnn))
    assert theirs[0] > 10
    assert ours[0] <= theirs[0]
    compare.assert_same_tree(ours[1], theirs[1])
