"""Interceptors, captured intermediates and named scopes see the methods of the standard layers that flax shows them."""

from __future__ import annotations

import flax.linen as fnn
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare

KEY = jax.random.key(0)
IMAGE = jnp.linspace(-1.0, 1.0, 2 * 6 * 6 * 4).reshape(2, 6, 6, 4)
SEQUENCE = IMAGE.reshape(2, 9, 16)
RNGS = {"params": KEY, "dropout": KEY}
# What flax and we name the functions that `RNN` and `WeightNorm` hand to transforms
NAMELESS = {"<lambda>", "step", "scan_fn", "forward", "layer_forward"}

LAYERS = {
    "Dense": (lambda lib: lib.Dense(3), SEQUENCE),
    "DenseGeneral": (lambda lib: lib.DenseGeneral((2, 3), axis=(1, 2)), SEQUENCE),
    "Einsum": (lambda lib: lib.Einsum((16, 3), "bti,ij->btj"), SEQUENCE),
    "Embed": (lambda lib: lib.Embed(5, 3), jnp.arange(4)),
    "Conv": (lambda lib: lib.Conv(3, (3, 3)), IMAGE),
    "ConvLocal": (lambda lib: lib.ConvLocal(3, (3, 3)), IMAGE),
    "ConvTranspose": (lambda lib: lib.ConvTranspose(3, (3, 3)), IMAGE),
    "BatchNorm": (lambda lib: lib.BatchNorm(use_running_average=False), IMAGE),
    "LayerNorm": (lambda lib: lib.LayerNorm(), IMAGE),
    "RMSNorm": (lambda lib: lib.RMSNorm(), IMAGE),
    "GroupNorm": (lambda lib: lib.GroupNorm(2), IMAGE),
    "InstanceNorm": (lambda lib: lib.InstanceNorm(), IMAGE),
    "WeightNorm": (lambda lib: lib.WeightNorm(lib.Dense(3)), SEQUENCE),
    "Dropout": (lambda lib: lib.Dropout(0.5, deterministic=False), SEQUENCE),
    "PReLU": (lambda lib: lib.PReLU(), SEQUENCE),
    "Sequential": (lambda lib: lib.Sequential([lib.Dense(3), lib.relu, lib.Dense(2)]), SEQUENCE),
    "MultiHeadDotProductAttention": (lambda lib: lib.MultiHeadDotProductAttention(2), SEQUENCE),
    "MultiHeadAttention": (lambda lib: lib.MultiHeadAttention(2), SEQUENCE),
    "RNN": (lambda lib: lib.RNN(lib.GRUCell(3)), SEQUENCE),
    "Bidirectional": (
        lambda lib: lib.Bidirectional(lib.RNN(lib.SimpleCell(3)), lib.RNN(lib.MGUCell(3))),
        SEQUENCE,
    ),
    "LSTMCell": (lambda lib: lib.RNN(lib.LSTMCell(3)), SEQUENCE),
    "OptimizedLSTMCell": (lambda lib: lib.RNN(lib.OptimizedLSTMCell(3)), SEQUENCE),
    "ConvLSTMCell": (lambda lib: lib.RNN(lib.ConvLSTMCell(3, (3,))), IMAGE),
}


def _calls(lib, make, inputs):
    """The class, path and method of the intercepted calls, each once: transforms trace how often they like."""
    seen = []

    def note(next_fun, args, kwargs, context):
        module = context.module
        if context.method_name not in NAMELESS:
            seen.append((type(module).__name__, module.path, context.method_name))
        return next_fun(*args, **kwargs)

    layer = make(lib)
    with lib.intercept_methods(note):
        layer.init(RNGS, inputs)
    return list(dict.fromkeys(seen))


@pytest.mark.parametrize("name", LAYERS)
def test_interceptors_see_the_same_calls(name):
    ours, theirs = (_calls(lib, *LAYERS[name]) for lib in (nn, fnn))
    assert ours == theirs


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_methods_can_be_captured(name):
    make, inputs = LAYERS[name]

    def run(lib):
        layer = make(lib)
        variables = layer.init(RNGS, inputs)
        _, captured = layer.apply(
            variables,
            inputs,
            rngs=RNGS,
            capture_intermediates=lambda module, method: method != "_get_bias_shape",
            mutable=True,
        )
        return jax.tree.map(jnp.shape, compare.plain(captured))

    assert run(nn) == run(fnn)


def _own_methods(cls):
    """The methods that run as a module's: they are intercepted, captured and given a named scope."""
    return {
        name
        for base in cls.__mro__
        for name, member in vars(base).items()
        if hasattr(member, "method_handler_wrapped")
    }


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, value in vars(fnn).items()
        if isinstance(value, type) and issubclass(value, fnn.Module)
    ],
)
def test_no_helper_runs_as_a_method(name):
    assert _own_methods(getattr(nn, name)) == _own_methods(getattr(fnn, name))
