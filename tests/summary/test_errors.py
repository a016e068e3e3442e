"""Follows the advice of each error of linen-summary, after which the failed call works."""

import sys

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
import linen_store
import linen_summary
from linen_summary import errors
from linen_summary.commands.cli import main

SOURCE = """
import linen_core as nn

class Model(nn.Module):
    features: int
    size: int = 5

    @nn.compact
    def __call__(self, x, train):
        return nn.Dropout(0.5, deterministic=not train)(nn.Dense(self.features)(x))

def ready():
    return nn.Dense(3)
"""
KEY = jax.random.key(0)
X = jnp.ones((1, 2))
MODEL = ("made_up:Model", "--arg", "features=3", "--input", "float32[1,2]", "--call", "train=False")
READY = ("made_up:ready", "--input", "float32[1,2]")
COMMANDS = [
    (
        errors.TargetError,
        "Name it as package.module:Name, from a folder where Python finds it.",
        ("made_down:Model", *MODEL[1:]),
        MODEL,
    ),
    (
        errors.TargetError,
        "Give its fields with --arg, like features=64.",
        ("made_up:Model", *MODEL[3:]),
        MODEL,
    ),
    (
        errors.TargetTypeError,
        "expected a subclass of linen_core.Module, a module or a function that returns one. Name it as "
        "package.module:Name.",
        ("builtins:dict",),
        READY,
    ),
    (
        errors.InputTextError,
        "expected a dtype and a shape, for example float32[1,28,28,1]",
        ("made_up:ready", "--input", "1x2"),
        READY,
    ),
    (
        errors.InputTextError,
        "or name=float32[1] for a keyword",
        ("made_up:ready", "--input", "inputs:float32[1,2]"),
        ("made_up:ready", "--input", "inputs=float32[1,2]"),
    ),
    (
        errors.ValueTextError,
        "expected a name and a value, for example --arg features=64",
        ("made_up:Model", "--arg", "3", *MODEL[3:]),
        MODEL,
    ),
    (
        errors.ModelRunError,
        "Check the inputs (--input, --call)",
        MODEL[:5],
        MODEL,
    ),
    (
        errors.ModelRunError,
        "and the fields (--arg)",
        ("made_up:Model", "--arg", "features=three", *MODEL[3:]),
        MODEL,
    ),
    (
        errors.ChartFormatError,
        "charts have the formats rich, svg and html. Choose one with --format.",
        (*READY, "--chart", "bars", "--format", "csv"),
        (*READY, "--chart", "bars", "--format", "svg"),
    ),
    (
        errors.UnknownMeasureError,
        "Choose one of them",
        (*READY, "--chart", "bars", "--by", "sizes"),
        (*READY, "--chart", "bars", "--by", "size"),
    ),
    (
        errors.UnusedOptionsError,
        "found a module, expected a checkpoint. Leave out these options.",
        (*READY, "--kind", "npz"),
        READY,
    ),
    (
        errors.UnusedOptionsError,
        "found a checkpoint, expected a module, named package.module:Name. Leave out these options.",
        ("saved", "--flops"),
        ("saved",),
    ),
    (
        errors.StoreTargetError,
        "Name a model as package.module:Name.",
        ("made_up.ready", *READY[1:]),
        READY,
    ),
]
# The base of the errors of the command, which has no text of its own.
BASES = {"CommandError"}


class Sorts(nn.Module):
    def __call__(self, x):
        return jnp.sort(x)  # XLA counts its FLOPs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a file of models and a checkpoint."""
    (tmp_path / "made_up.py").write_text(SOURCE, "utf-8")
    linen_store.save(tmp_path / "saved", nn.Dense(3).init(KEY, X))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("made_up", None)


@pytest.mark.parametrize(("error", "advice", "wrong", "right"), COMMANDS)
def test_the_advice_of_the_command_works(folder, capsys, monkeypatch, error, advice, wrong, right):
    raised = []
    monkeypatch.setattr(error, "__str__", lambda self: raised.append(type(self)) or self.args[0])
    assert main(wrong) == 2
    assert raised == [error]
    assert advice in capsys.readouterr().err
    assert main(right) == 0
    printed = capsys.readouterr()
    assert printed.out
    assert not printed.err


def test_a_comparison_of_modules_needs_inputs():
    first, second = nn.Dense(2), nn.Dense(3)
    with pytest.raises(errors.MissingInputsError, match="Call compare"):
        linen_summary.compare(first, second)
    found = linen_summary.compare(first, second, KEY, jax.ShapeDtypeStruct((1, 2), jnp.float32))
    assert [change.path for change in found] == [("bias",), ("kernel",)]


def test_a_chart_of_a_measure_that_was_not_requested():
    with pytest.raises(errors.UnknownMeasureError, match="for example with compute_flops=True"):
        linen_summary.bars(linen_summary.summarize(nn.Dense(2), KEY, X), "flops")
    counted = linen_summary.summarize(nn.Dense(2), KEY, X, compute_flops=True)
    assert linen_summary.bars(counted, "flops").to_svg()


def test_a_backend_without_cost_analysis(monkeypatch):
    def note_or_flops():
        row = linen_summary.summarize(Sorts(), KEY, X, compute_flops=True).rows[0]
        return row.flops, row.flops_note

    with monkeypatch.context() as patch:
        patch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)
        flops, note = note_or_flops()
        assert flops is None
        assert str(errors.UnknownCostError("cpu")) in note
        assert "Set JAX_PLATFORMS=cpu to count them on the CPU backend." in note
    assert jax.default_backend() == "cpu"  # the tests run as the advice says
    assert note_or_flops()[0] > 0


def test_every_error_class_is_covered():
    followed = {error.__name__ for error, *_ in COMMANDS}
    others = {"MissingInputsError", "UnknownCostError"}
    assert followed | others | BASES == set(errors.__all__)
