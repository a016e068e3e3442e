"""Compiled, no layer has more operations than flax's; and recording a layer again costs no new recording."""

from __future__ import annotations

import re
from collections import Counter

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity._compare import assert_same_tree, optimizations, plain
from parity.layers._draw import array

X = (2, 6, 4)
IMAGE = (2, 6, 6, 4)
KEY = {"dropout": jax.random.key(3)}

LAYERS = {
    "dense": (lambda lib: lib.Dense(5), (X,), {}),
    "dense bfloat16": (lambda lib: lib.Dense(5, dtype=jnp.bfloat16), (X,), {}),
    "dense general": (lambda lib: lib.DenseGeneral((2, 3), axis=(1, 2)), (X,), {}),
    "einsum": (lambda lib: lib.Einsum((4, 5), "...a,ab->...b"), (X,), {}),
    "conv": (lambda lib: lib.Conv(5, (3, 3)), (IMAGE,), {}),
    "conv circular": (lambda lib: lib.Conv(5, (3, 3), padding="CIRCULAR"), (IMAGE,), {}),
    "conv unbatched": (lambda lib: lib.Conv(5, (3, 3)), (IMAGE[1:],), {}),
    "conv local": (lambda lib: lib.ConvLocal(5, (3,)), (X,), {}),
    "conv transpose": (
        lambda lib: lib.ConvTranspose(5, (3, 3), (2, 2), padding="CIRCULAR"),
        (IMAGE,),
        {},
    ),
    "layer norm": (lambda lib: lib.LayerNorm(), (X,), {}),
    "layer norm bfloat16": (lambda lib: lib.LayerNorm(dtype=jnp.bfloat16), (X,), {}),
    "rms norm": (lambda lib: lib.RMSNorm(), (X,), {}),
    "group norm": (lambda lib: lib.GroupNorm(2), (IMAGE,), {}),
    "instance norm": (lambda lib: lib.InstanceNorm(), (IMAGE,), {}),
    "batch norm": (
        lambda lib: lib.BatchNorm(use_running_average=False),
        (IMAGE,),
        {"mutable": ["batch_stats"]},
    ),
    "batch norm average": (lambda lib: lib.BatchNorm(use_running_average=True), (IMAGE,), {}),
    "attention": (lambda lib: lib.MultiHeadAttention(2), (X,), {}),
    "attention dropout": (
        lambda lib: lib.MultiHeadAttention(2, dropout_rate=0.5, deterministic=False),
        (X,),
        {"rngs": KEY},
    ),
    "attention sown": (
        lambda lib: lib.MultiHeadAttention(2),
        (X,),
        {"sow_weights": True, "mutable": ["intermediates"]},
    ),
    "dropout": (lambda lib: lib.Dropout(0.5, deterministic=False), (X,), {"rngs": KEY}),
    "prelu": (lambda lib: lib.PReLU(), (X,), {}),
    "lstm": (lambda lib: lib.RNN(lib.LSTMCell(3)), (X,), {}),
    "fast lstm": (lambda lib: lib.RNN(lib.OptimizedLSTMCell(3)), (X,), {}),
    "gru": (lambda lib: lib.RNN(lib.GRUCell(3)), (X,), {}),
    "weight norm": (lambda lib: lib.WeightNorm(lib.Dense(3)), (X,), {}),
    "fp8": (lambda lib: lib.Dense(3, dot_general_cls=lib.Fp8DirectDotGeneralOp), (X,), {}),
    "activations": (
        lambda lib: lib.Sequential(
            [lib.relu, lib.gelu, lib.silu, lib.softmax, lib.log_softmax, lib.tanh]
        ),
        (X,),
        {},
    ),
    "pooling": (
        lambda lib: lib.Sequential(
            [lambda x: lib.max_pool(x, (2, 2), (2, 2)), lambda x: lib.avg_pool(x, (2, 2))]
        ),
        (IMAGE,),
        {},
    ),
}


def _operations(text: str) -> Counter[str]:
    return Counter(re.findall(r"= \S+ ([a-z][\w-]*)\(", text))


WITH_GRADIENT = (
    "dense",
    "dense bfloat16",
    "conv",
    "layer norm",
    "group norm",
    "attention",
    "gru",
    "pooling",
)
CASES = [(name, False) for name in LAYERS] + [(name, True) for name in WITH_GRADIENT]


@pytest.mark.parametrize(("name", "gradient"), CASES)
def test_no_more_operations_than_flax(name, gradient):
    make, shapes, options = LAYERS[name]
    args = tuple(map(array, shapes))
    counts, results = [], []
    for library in (nn, flax_nn):
        module = make(library)
        start = {name: value for name, value in options.items() if name not in {"mutable", "rngs"}}
        variables = plain(module.init({"params": jax.random.key(0), **KEY}, *args, **start))
        variables.pop("intermediates", None)

        def run(variables, args, module=module):
            return module.apply(variables, *args, **options)

        def loss(variables, args, run=run):
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(run(variables, args)))

        program = jax.jit(jax.grad(loss, argnums=(0, 1)) if gradient else run)
        with optimizations():
            compiled = program.lower(variables, args).compile()
        counts.append(_operations(compiled.as_text()))
        results.append(compiled(variables, args))
    assert counts[1].total() > 1
    assert counts[0].total() <= counts[1].total(), counts
    assert_same_tree(*results)


@pytest.mark.parametrize(
    "name", ["celu", "elu", "gelu", "glu", "leaky_relu", "selu", "standardize"]
)
@pytest.mark.parametrize("arguments", [(), (0.5,)])
def test_functions_count_the_same_flops(name, arguments):
    if arguments and name not in ("celu", "elu", "leaky_relu"):
        arguments = (-1,) if name == "glu" else ()
    counts = []
    for lib in (nn, flax_nn):
        called = lambda x, lib=lib: getattr(lib, name)(x, *arguments)
        pulled = lambda x, called=called: jax.vjp(called, x)[1](called(x))
        counts.append(
            [jax.jit(f).lower(array(X)).cost_analysis()["flops"] for f in (called, pulled)]
        )
    assert counts[0] == counts[1]


def test_body_is_recorded_once_for_many_layers():
    calls = []

    def counted(key, shape, dtype):
        calls.append(shape)
        return jnp.ones(shape, dtype)

    class Deep(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(5):
                x = nn.LayerNorm()(nn.Dense(4, kernel_init=counted)(x))
            return x

    variables = Deep().init(jax.random.key(0), jnp.ones((2, 4)))
    jaxpr = jax.make_jaxpr(Deep().apply)(variables, jnp.ones((2, 4)))
    assert len(calls) >= 5
    names = Counter(eqn.primitive.name for eqn in jaxpr.eqns)
    assert names["dot_general"] == 5
    assert names["rsqrt"] == 5
    assert names["pjit"] + names["jit"] == 0


def test_names_of_layers_reach_the_compiled_program():
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4, name="second")(nn.Dense(4, name="first")(x))

    variables = Two().init(jax.random.key(0), jnp.ones((2, 4)))
    text = jax.jit(Two().apply).lower(variables, jnp.ones((2, 4))).as_text(debug_info=True)
    assert "Two/first/dot_general" in text
    assert "Two/second/dot_general" in text
