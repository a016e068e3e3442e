"""Multiply-accumulate operations of dots and convolutions are counted exactly."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from linen_summary.costs.macs import count_macs

X = jax.ShapeDtypeStruct((4, 6), jnp.float32)


def jaxpr_of(function, *args):
    return jax.make_jaxpr(function)(*args).jaxpr


MULTIPLICATIONS = {
    "dot": (lambda x: x @ x.T, 4 * 4 * 6),
    "batched": (lambda x: jnp.einsum("ij,ij->i", x, x), 4 * 6),
    "mixed dtypes": (lambda x: lax.dot(x, x.T, preferred_element_type=jnp.float64), 4 * 4 * 6),
    "elementwise": (lambda x: x * x + x, 0),
    "called": (jax.jit(jax.checkpoint(lambda y: y @ y.T)), 4 * 4 * 6),
    "scan": (lambda x: lax.scan(lambda c, _: (c @ c.T @ x, None), x, length=5)[0], 5 * 192),
    "while": (lambda x: lax.while_loop(lambda y: y.sum() < 9, lambda y: y @ y.T @ x, x), 192),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, lambda y: y @ y.T, lambda y: y[:, :4], x), 96),
}


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", MULTIPLICATIONS)
def test_multiplications(name):
    function, expected = MULTIPLICATIONS[name]
    assert count_macs(jaxpr_of(function, X)) == expected
