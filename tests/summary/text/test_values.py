"""Numbers have three digits or one decimal; nested values become indented lines."""

import enum

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import struct
from linen_summary.text.values import (
    Layout,
    bytes_text,
    one_line,
    plain,
    plain_text,
    short_number,
)

SPEC = jax.ShapeDtypeStruct((2, 3), jnp.bfloat16)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1000, "1,000 B"),
        (1001, "1.0 KB"),
        (2_500_000, "2.5 MB"),
        (5 * 10**12, "5,000.0 GB"),
    ],
)
def test_bytes(number, text):
    assert bytes_text(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (1234, "1.23 k"),
        (999_499, "999 k"),
        (999_600, "1000 k"),
        (10**6, "1 M"),
        (3 * 10**18, "3000 P"),
    ],
)
def test_counts(number, text):
    assert short_number(number) == text


class Colour(enum.Enum):
    RED = "red"


@struct.dataclass
class Pair:
    first: object
    second: object


def test_plain_values_are_dicts_tuples_and_leaves():
    assert plain({"a": [1, {Colour.RED: Pair(Colour.RED, (2,))}]}) == {
        "a": (1, {"red": {"first": "red", "second": (2,)}})
    }
    assert plain(SPEC) is SPEC
    assert plain(Colour.RED) is Colour.RED


def test_leaves():
    assert plain_text(SPEC) == "bfloat16[2,3]"
    assert plain_text(nn.Partitioned(SPEC, ("a", None))) == "bfloat16[2,3] P('a', None)"
    assert plain_text("text") == "'text'"


def test_one_line():
    assert one_line({"x": SPEC, "y": [None, True, {}]}) == "{x: bfloat16[2,3], y: [None, True, {}]}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ({}, ""),
        ((), ""),
        (SPEC, "bfloat16[2,3]"),
        ((1, ()), "- 1\n- []"),
        ({"a": {"b": 1}, "c": [2, 3]}, "a:\n  b: 1\nc:\n- 2\n- 3"),
        ({None: 1, True: 2}, "null: 1\ntrue: 2"),
    ],
)
def test_layout(value, text):
    assert Layout().write(value) == text
