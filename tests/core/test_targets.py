"""The arguments of commands are read as Python values, specifications and modules."""

import os
import sys

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core.targets import (
    construct,
    current_folder_first,
    import_target,
    parse_input,
    parse_value,
)


def test_a_value_without_a_name():
    with pytest.raises(ValueError) as caught:
        parse_value("features")
    expected = "expected a name and a value, for example features=64, found 'features'"
    assert str(caught.value) == expected


def test_inputs():
    assert parse_input(" int32[4,] ") == (None, jax.ShapeDtypeStruct((4,), jnp.int32))
    assert parse_input("x=bool[]") == ("x", jax.ShapeDtypeStruct((), jnp.bool_))


@pytest.mark.parametrize("text", ["float[", "floaty[1]", "str[2]"])
def test_an_input_that_is_not_an_array(text):
    with pytest.raises(ValueError) as caught:
        parse_input(text)
    assert str(caught.value) == (
        "expected a dtype and a shape, for example float32[1,28,28,1] or mask=bool[1], "
        f"found {text!r}"
    )


def test_classes_and_modules_are_constructed():
    assert construct(import_target("linen_core:Dense"), {"features": 3}) == nn.Dense(3)
    assert construct(nn.Dense(2), {"features": 3}) == nn.Dense(3)
    assert import_target("linen_core:Dense.__call__") is nn.Dense.__call__
    with pytest.raises(AttributeError):
        import_target("linen_core:Missing")


def test_the_current_folder_comes_first_only_during_the_command():
    before = list(sys.path)
    with current_folder_first():
        assert sys.path[0] == os.getcwd()
    assert sys.path == before
