"""Operations have the FLOPs that XLA counts for them."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from summary.costs._counting import assert_counted

KEY = jax.random.key(0)
X = jnp.ones((4, 6))
FLAGS = X > 0
INTEGERS = jnp.ones((4, 6), jnp.int32)

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
