"""Operations count what XLA says they count, in exact integers; what cannot be counted is called unknown."""

import functools

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import linen_core as nn
from linen_summary import summarize
from linen_summary.costs.flops import FlopCounter

KEY = jax.random.key(0)
X = jnp.ones((4, 6))
FLAGS = X > 0
INTEGERS = jnp.ones((4, 6), jnp.int32)


def asked(function, *args):
    return int(jax.jit(function).lower(*args).cost_analysis().get("flops", 0))


def counted(function, *args):
    return FlopCounter(every_iteration=False).count(jax.jit(function).trace(*args))


def assert_counted(function, *args):
    assert counted(function, *args) == asked(function, *args)


OPERATIONS = {
    "add": lambda x: x + x.T.reshape(x.shape),
    "add zero": lambda x: x + 0.0,
    "times one": lambda x: x * 1.0 - 0.0,
    "same operand twice": lambda x: (x - x) / x + jnp.where(FLAGS, x, x),
    "folded constants": lambda x: x + jnp.eye(6)[:4] * lax.iota(jnp.float32, 6),
    "convert": lambda x: x.astype(jnp.bfloat16).astype(jnp.int32).astype(bool),
    "compare": lambda x: (x > 0) & (x < 5) | (x == 3) ^ (x != 2),
    "not": lambda x: jnp.where(~(x > 0), x, 2.0),
    "transcendental": lambda x: jnp.exp(jnp.tanh(jnp.log1p(jnp.sqrt(x)))) + lax.rsqrt(x),
    "several in one": lambda x: jax.nn.sigmoid(x) + lax.erf_inv(x / 9) + x**3 + x**-2 + x**0.5,
    "clip": lambda x: jnp.clip(x, 0.0, 6.0),
    "reduce": lambda x: x.sum() + x.max(0).min() + x.prod(1)[0],
    "logical reduce": lambda x: (x > 0).all() | (x > 2).any(0),
    "arg": lambda x: jnp.argmax(x, 0) + jnp.argsort(x, 1)[0],
    "cumulative": lambda x: jnp.cumsum(x, 0) + lax.cummax(x, 1),
    "dot": lambda x: jnp.einsum("ij,kj->ik", x, x) + jnp.einsum("ij,ij->i", x, x),
    "mixed dot": lambda x: lax.dot(
        x.astype(jnp.bfloat16), x.astype(jnp.bfloat16).T, preferred_element_type=jnp.float32
    ),
    "gather": lambda x: x[INTEGERS[0]] + jnp.take(x, 1, 0),
    "scatter": lambda x: x.at[INTEGERS[0]].add(1.0),
    "slice": lambda x: lax.dynamic_slice(x, (INTEGERS[0, 0], 1), (2, 2)),
    "pad": lambda x: jnp.pad(x, 1) + 1,
    "softmax": jax.nn.softmax,
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "layers of calls": lambda x: jax.jit(jax.nn.relu)(jax.checkpoint(jax.nn.gelu)(x)),
    "scan": lambda x: lax.scan(lambda c, y: (c * y, c + y), x[0], x),
    "cond": lambda x: lax.cond(x[0, 0] > 0, jnp.sin, lambda x: x * 2, x),
    "while": lambda x: lax.while_loop(lambda x: x.sum() < 9, lambda x: x + 1, x),
    "random": lambda x: x * jax.random.bernoulli(KEY, 0.5, x.shape),
    "fft": lambda x: jnp.abs(jnp.fft.fft(x)),
    "complex": lambda x: jnp.abs(lax.complex(x, x) * 2),
    "solve": lambda x: jnp.linalg.norm(x @ x.T),
    "nothing": lambda x: x,
    "dead": lambda x: (x @ x.T, x)[1],
    "integers": lambda x: INTEGERS // 2 + INTEGERS % 3 - jnp.sign(INTEGERS) * abs(INTEGERS),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    assert_counted(OPERATIONS[name], X)


@pytest.mark.parametrize("name", ["softmax", "gelu", "relu", "several in one", "scatter", "clip"])
def test_gradient(name):
    assert_counted(jax.grad(lambda x: OPERATIONS[name](x).sum()), X)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_convolutions(data):
    draw = lambda low, high: data.draw(st.integers(low, high))
    rank = draw(1, 2)
    groups, batch = draw(1, 2), draw(1, 2)
    pairs = [[draw(0, 2), draw(0, 2)] for _ in range(rank)]
    options = {
        "window_strides": [draw(1, 3) for _ in range(rank)],
        "padding": pairs,
        "lhs_dilation": [draw(1, 2) for _ in range(rank)],
        "rhs_dilation": [draw(1, 2) for _ in range(rank)],
        "feature_group_count": groups,
    }
    lhs = jnp.ones((batch, 2 * groups, *(draw(3, 6) for _ in range(rank))))
    rhs = jnp.ones((3 * groups, 2, *(draw(1, 3) for _ in range(rank))))
    convolve = lambda lhs, rhs: lax.conv_general_dilated(lhs, rhs, **options)
    assert_counted(convolve, lhs, rhs)
    assert_counted(jax.grad(lambda *a: convolve(*a).sum(), (0, 1)), lhs, rhs)


def test_large_sums_are_exact_where_those_of_xla_are_rounded():
    widths = (1001, 1003, 1007, 1009, 1013)

    def layer(x, width):
        return jnp.tanh(x @ jnp.ones((x.shape[-1], width))) + 1.5

    def layers(x):
        for width in widths:
            x = layer(x, width)
        return x

    shapes = [jax.ShapeDtypeStruct((7, width), jnp.float32) for width in (1001, *widths)]
    parts = [
        asked(functools.partial(layer, width=width), x)
        for x, width in zip(shapes, widths, strict=False)
    ]
    assert max(parts) < 2**24 < sum(parts)
    assert counted(layers, shapes[0]) == sum(parts) != asked(layers, shapes[0])
    backwards = counted(jax.grad(lambda x: layers(x).sum()), shapes[0])
    assert backwards == pytest.approx(asked(jax.grad(lambda x: layers(x).sum()), shapes[0]), 1e-6)


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
    assert table[0].vjp_flops == 0  # what would be pulled back is zero, and no operation is left
    assert table[1].vjp_flops > 0


def test_a_call_that_fails_by_itself_is_unknown_and_the_table_stands():
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


def test_what_costs_nothing_is_zero():
    class Identity(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x.reshape(-1)

    table = summarize(Identity(), KEY, X, compute_flops=True, compute_vjp_flops=True)
    assert (table[0].flops, table[0].vjp_flops, table[0].flops_note) == (0, 0, "")
