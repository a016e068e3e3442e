"""The command that proposes a map to the arrays of a model."""

import json

import numpy as np
import pytest

import linen_store
from linen_store import cli
from linen_store.views import Map

PROGRAM = """
import linen_core as nn

class Model(nn.Module):
    features: int
    @nn.compact
    def __call__(self, x, *, train, mask=None):
        x = nn.Dense(self.features, name="first")(x)
        return nn.Dense(3, name="second", use_bias=mask is not None)(x)

small = Model(5)
number = lambda: 3
def broken():
    raise SystemExit
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    (tmp_path / "program_of_suggest.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    layers = {"first": {"weight": (5, 4), "bias": (5,)}, "second": {"weight": (3, 5)}}
    arrays = {
        name: {leaf: np.ones(shape, np.float32) for leaf, shape in leaves.items()}
        for name, leaves in layers.items()
    }
    linen_store.convert(arrays, "model.safetensors")

    def call(model, *options):
        given = ["suggest", "model.safetensors", f"program_of_suggest:{model}", *options]
        code = cli.main(given)
        return code, *capsys.readouterr()

    return call


OPTIONS = ("--input", "float32[1,4]", "--call", "train=False")


@pytest.mark.parametrize("model", [("small",), ("Model", "--arg", "features=5")])
def test_a_map_of_a_file_of_pytorch(run, model, capsys):
    code, text, _ = run(*model, *OPTIONS)
    assert code == 0
    assert text.splitlines()[0] == ("# 3 rules, 0 ambiguous, 0 may be transposed or not, 0 missing")
    rules = {rule.target: (rule.source, rule.do) for rule in Map.from_toml(text).rules}
    assert rules == {
        "params/first/kernel": ("first/weight", ("transpose",)),
        "params/first/bias": ("first/bias", ()),
        "params/second/kernel": ("second/weight", ("transpose",)),
    }


def test_json(run):
    code, text, _ = run("small", *OPTIONS, "--input", "mask=bool[]", "--json")
    found = json.loads(text)
    assert code == 0
    assert found["missing"] == ["params/second/bias, float32(3,)"]
    assert (found["ambiguous"], found["squares"], found["unused"]) == ({}, [], [])
    assert len(Map.from_toml(found["map"]).rules) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "Cannot import the model 'program_of_suggest:nothing': found AttributeError"),
        (["Model"], "Cannot construct the model 'program_of_suggest:Model': found TypeError"),
        (
            ["broken"],
            "Cannot construct the model 'program_of_suggest:broken': found SystemExit. Give",
        ),
        (["number"], "Cannot use the model 'program_of_suggest:number': found a int. Name a"),
        (["small"], "Cannot initialize the model 'program_of_suggest:small': found TypeError"),
    ],
)
def test_a_model_that_cannot_be_had(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"linen-store: {message}")


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("--input", "float[", "expected a dtype and a shape"),
        ("--input", "floaty[1]", "expected a dtype and a shape"),
        ("--arg", "features", "expected a name and a value"),
    ],
)
def test_options_that_cannot_be_read(run, option, text, expected, capsys):
    with pytest.raises(SystemExit):
        run("small", option, text)
    assert f"argument {option}: {expected}" in capsys.readouterr().err
