"""Arguments that are not arrays, such as dtypes, look the same in the table as in flax's, without a warning."""

from __future__ import annotations

import enum
import re
from typing import Any, NamedTuple

import flax.linen as fnn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

X = jnp.ones((2, 3))


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    first: Any
    second: Any


class Described:
    """Has a shape and a dtype, but is not an array."""

    shape = (2, 3)
    dtype = "float32"

    def __repr__(self):
        return "Described()"


def _table(lib, **kwargs):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x, value=None):
            return lib.Dense(2)(x)

    console = {"width": 120, "force_terminal": False, "no_color": True}
    return Model().tabulate(jax.random.key(0), X, console_kwargs=console, **kwargs)


SCALARS = [
    *(jnp.bfloat16, np.dtype("int32"), float, bool, 3, 2.5, True, 1j, np.float32(1)),
    *(np.float64(2), np.complex64(1j), float("nan"), jnp.float32(1)),
]
TEXTS = [
    "mode",
    "",
    "a: b",
    "- a",
    "it's",
    "back\\slash",
    "é",
    "two\nlines",
    "word " * 40,
    b"bytes",
]
OBJECTS = [jax.nn.relu, Colour.RED, Described(), range(3), slice(1, 2), ..., {1}]
CONTAINERS = [
    Pair(X, 3),
    {"b": X, "a": {"c": [1, (2, None)]}},
    {Colour.RED: X},
    {("a", "b"): X, ("a", "c"): [X]},
    {True: 1, False: {}},
    {1.5: X, 1e20: ()},
    {"": X, "k" * 130: [X, X]},
    ({}, [], (), {"a": {}, "b": []}),
]


def _name(value):
    """Return the name of a case without addresses of objects, which change with the process."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.filterwarnings("ignore:shape requires ndarray:DeprecationWarning")  # flax's own
@pytest.mark.parametrize("value", [*SCALARS, X, *TEXTS, *OBJECTS, *CONTAINERS], ids=_name)
def test_argument_looks_the_same(value):
    assert _table(nn, value=value) == _table(fnn, value=value)


@pytest.mark.filterwarnings("ignore:shape requires ndarray:DeprecationWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda lib: lib.Dense(3),
        lambda lib: lib.Sequential([lib.Dense(2), lib.Dense(3)]),
        lambda lib: lib.Einsum((3, 2), "ab,bc->ac"),
        lambda lib: lib.Partitioned(X, ("batch_dimension", "feature_dimension_with_a_long_name")),
        lambda lib: lib.Partitioned(jnp.ones((2, 3, 4)), ("embedding" * 3, "heads" * 5, "kv")),
    ],
    ids=["module", "nested", "module with a shape and a dtype", "box", "wide box"],
)
def test_argument_of_each_library_looks_the_same(make):
    assert _table(nn, value=make(nn)) == _table(fnn, value=make(fnn))


def test_array_that_jax_rejects_is_shown_as_its_repr():
    assert "array([a, b], dtype=<U1)" in _table(nn, value=np.array(["a", "b"]))


def test_brackets_in_texts_are_not_markup():
    table = _table(nn, value={"[red]key": "[/bold]text"})
    assert "[red]key: [/bold]text" in table


def test_dtype_as_argument_raises_no_warning(recwarn):
    assert "bfloat16[]" in _table(nn, value=jnp.bfloat16)
    assert not recwarn.list


@pytest.mark.parametrize("lib", [nn, fnn])
def test_arguments_of_the_call_may_be_named_like_those_of_tabulate(lib):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x, *, depth, compute_flops=None):
            return lib.Dense(depth)(x)

    console = {"width": 120, "force_terminal": False}
    table = lib.tabulate(Model(), jax.random.key(0), console_kwargs=console)
    text = table(X, depth=5, compute_flops="no")
    assert "kernel: float32[3,5]" in text
    assert "depth: 5" in text
