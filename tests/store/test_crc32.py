"""The fast CRC-32: that of zlib, however the bytes come."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linen_store import _crc32
from linen_store._crc32 import Crc32, crc32

GENERATOR = 0x104C11DB7
BYTES = np.random.default_rng(0).integers(0, 256, 6 * _crc32._SMALL, np.uint8)


def remainder(power):
    """The remainder of x^power modulo the generator, one step at a time."""
    value = 1
    for _ in range(power):
        value <<= 1
        if value >> 32:
            value ^= GENERATOR
    return value


def test_the_generator_divides_the_trinomial():
    far, middle = _crc32._FAR, _crc32._FAR - _crc32._NEAR
    assert remainder(far) ^ remainder(middle) ^ 1 == 0


@pytest.mark.parametrize("more", [-1, 0, 1, 7, 8, 13, _crc32._NEAR * 8, _crc32._SMALL])
def test_at_the_bound_between_small_and_large(more):
    data = BYTES[: _crc32._SMALL + more]
    assert crc32(data) == zlib.crc32(data)


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    size=st.one_of(st.integers(0, 100), st.integers(_crc32._SMALL, BYTES.size)),
    start=st.integers(0, 9),
    words=st.integers(30_000, 400_000),
)
def test_like_zlib_in_pieces_of_any_size(size, start, words):
    data = BYTES[start : start + size]
    crc = Crc32(data.size)
    for place in range(0, data.size, 8 * words):
        crc.add(data[place : place + 8 * words])
    assert crc.value == crc32(data) == zlib.crc32(data.tobytes())
