"""FLOPs are exact integers that agree with XLA. Numbers that cannot be counted are unknown."""

import functools

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary import summarize
from summary.costs._counting import assert_counted, counted, xla_flops

KEY = jax.random.key(0)
X = jnp.ones((4, 6))


def test_large_sums_are_exact_and_those_of_xla_rounded():
    widths = (1001, 1003, 1007, 1009, 1013)

    def layer(x, width):
        return jnp.tanh(x @ jnp.ones((x.shape[-1], width))) + 1.5

    def layers(x):
        for width in widths:
            x = layer(x, width)
        return x

    shapes = [jax.ShapeDtypeStruct((7, width), jnp.float32) for width in (1001, *widths)]
    parts = [
        xla_flops(functools.partial(layer, width=width), x)
        for x, width in zip(shapes, widths, strict=False)
    ]
    assert max(parts) < 2**24 < sum(parts)
    assert counted(layers, shapes[0]) == sum(parts) != xla_flops(layers, shapes[0])
    backwards = counted(jax.grad(lambda x: layers(x).sum()), shapes[0])
    assert backwards == pytest.approx(
        xla_flops(jax.grad(lambda x: layers(x).sum()), shapes[0]), 1e-6
    )


@pytest.mark.parametrize("shape", [(4, 6), (3, 77, 33), (1, 5), ()])
@pytest.mark.parametrize("draw", ["bits", "uniform", "normal", "bernoulli", "key_data", "split"])
def test_keys_of_a_program_count_minus_one(shape, draw):
    def program(unused, key, x):
        key = jax.random.fold_in(key, 123)
        function = getattr(jax.random, draw)
        drawn = function(key) if draw in ("key_data", "split") else function(key, shape=shape)
        return drawn, x * 2

    assert_counted(program, KEY, KEY, jnp.ones(3))


def test_a_call_without_a_derivative_computes_nothing_backwards():
    class Count(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(x).argmax(-1)

    table = summarize(Count(), KEY, X, compute_flops=True, compute_vjp_flops=True)
    assert table[0].flops > table[1].flops > 0
    assert table[0].vjp_flops == 0  # all cotangents are zero, and lowering removes every operation
    assert table[1].vjp_flops > 0


def test_a_call_that_fails_on_its_own_is_unknown_and_the_table_complete():
    decoder = nn.MultiHeadDotProductAttention(num_heads=2, decode=True)
    table = summarize(decoder, KEY, jnp.ones((1, 5, 4)), compute_flops=True)
    assert table[0].flops is None
    assert table[0].flops_note.startswith(
        "LayerArgumentError: Cannot apply MultiHeadDotProductAttention"
    )
    assert "unknown" in str(table)
    assert table.to_dict()["rows"][0]["unknown"]["flops"] == table[0].flops_note
    plain = {"force_terminal": False, "width": 200}
    text = nn.tabulate(decoder, KEY, compute_flops=True, console_kwargs=plain)(jnp.ones((1, 5, 4)))
    assert "unknown" in text


def test_a_backend_without_analysis_is_unknown_not_zero(monkeypatch):
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)

    class Sorts(nn.Module):
        @nn.compact
        def __call__(self, x):
            return jnp.sort(x) * jnp.ones(6)

    table = summarize(Sorts(), KEY, X, compute_flops=True)
    assert table[0].flops is None
    assert table[0].flops_note == (
        "Cannot count FLOPs: the backend 'cpu' has no cost analysis of functions that are not compiled. "
        "Set JAX_PLATFORMS=cpu to count them on the CPU backend."
    )


def test_operations_without_flops_count_zero():
    class Identity(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x.reshape(-1)

    table = summarize(Identity(), KEY, X, compute_flops=True, compute_vjp_flops=True)
    assert (table[0].flops, table[0].vjp_flops, table[0].flops_note) == (0, 0, "")
