"""Bits of drawn arrays, where XLA rounds the same element differently in arrays of different shapes."""

import functools
import math

import jax
import numpy as np

# `jax.random.normal` of five keys shows it: with the AVX-512 code of jaxlib 0.8 for the second shape, with that of
# jaxlib 0.12 for the first. One of the loops, with or without vector instructions, fuses products with sums.
_SHAPES = [(2, 3, 4, 5), (130, 140)]
_FEW_ULPS = 5e-7  # measured: 3 units in the last place


def assert_same_draw(actual, expected):
    """Assert that two arrays have the same bits; the last ones differ where those of JAX's own draws do."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    if (actual == expected).all() or shapes_have_the_same_bits():
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_allclose(actual.astype(float), expected.astype(float), rtol=_FEW_ULPS, atol=0)


@functools.cache
def shapes_have_the_same_bits():
    """Return whether JAX draws the same bits in arrays of different shapes."""
    keys = jax.random.split(jax.random.key(0), 5)
    return all(
        (_drawn(keys, shape) == _drawn(keys, (math.prod(shape),))).all() for shape in _SHAPES
    )


def _drawn(keys, shape):
    draw = jax.jit(lambda key: jax.random.normal(key, shape))
    return np.stack([np.asarray(draw(key)).ravel() for key in keys])
