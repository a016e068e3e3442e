"""The arguments of the command are read as Python values, specifications and modules."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_summary.commands.targets import (
    import_module,
    is_module_name,
    parsed_inputs,
    parsed_values,
)
from linen_summary.errors import InputTextError, TargetError, TargetTypeError, ValueTextError


def test_values_are_literals_or_strings():
    texts = ["a=1", "b=(2, None)", "c=fast", "d=", "e=x=y"]
    expected = {"a": 1, "b": (2, None), "c": "fast", "d": "", "e": "x=y"}
    assert parsed_values("--arg", texts) == expected


@pytest.mark.parametrize("text", ["a", "=1", "1a=2", "a b=2"])
def test_values_need_a_name(text):
    with pytest.raises(ValueTextError) as caught:
        parsed_values("--arg", [text])
    assert (caught.value.option, caught.value.text) == ("--arg", text)


def test_inputs_are_positional_or_named():
    args, kwargs = parsed_inputs([" float32[2, 3] ", "mask=bool[]", "int32[4,]"])
    assert args == [
        jax.ShapeDtypeStruct((2, 3), jnp.float32),
        jax.ShapeDtypeStruct((4,), jnp.int32),
    ]
    assert kwargs == {"mask": jax.ShapeDtypeStruct((), jnp.bool_)}


@pytest.mark.parametrize("text", ["float32", "str[2]", "float32[-1]", "1x=float32[2]"])
def test_inputs_need_a_dtype_and_a_shape(text):
    with pytest.raises(InputTextError):
        parsed_inputs([text])


def test_an_existing_file_is_not_a_module_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_module_name("package.module:Name.Inner")
    assert not is_module_name("package.module.Name")
    (tmp_path / "a:b").touch()
    assert not is_module_name("a:b")


def test_classes_modules_and_functions_become_modules():
    assert import_module("linen_core:Dense", {"features": 3}) == nn.Dense(3)
    with pytest.raises(TargetTypeError, match="found a dict"):
        import_module("builtins:dict", {})
    with pytest.raises(TargetError, match="Cannot import 'linen_core:Missing'"):
        import_module("linen_core:Missing", {})
    with pytest.raises(TargetError, match="Cannot construct 'linen_core:Dense'"):
        import_module("linen_core:Dense", {"size": 3})
