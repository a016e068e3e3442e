"""The command prints models and checkpoints in every format, and one clear message for each failure."""

import csv
import importlib.metadata
import io
import json
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
import linen_store
from linen_core.errors import LinenError
from linen_summary import errors
from linen_summary.commands.cli import main

SOURCE = """
import jax.numpy as jnp
import linen_core as nn

class CNN(nn.Module):
    features: int = 8
    mode: str = "plain"

    @nn.compact
    def __call__(self, x, scale=None, train=False):
        x = nn.relu(nn.Conv(self.features, (3, 3))(x))
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(10)(x.reshape(len(x), -1)) * (1 if scale is None else scale)

    def encode(self, x):
        return x + 1

class Late(nn.Module):
    @nn.compact
    def __call__(self, x, depth):
        import my_sizes
        return nn.Dense(my_sizes.WIDTH + depth)(x)

class Ends(nn.Module):
    def __call__(self, x):
        raise SystemExit(0)

class Broken(nn.Module):
    @nn.compact
    def __call__(self, x):
        raise RuntimeError("the wheel fell off")

instance = CNN(features=2)
number = 5

def make(features):
    return CNN(features)

def makes_a_number():
    return 5

class inner:
    Model = CNN
"""
INPUT = ["--input", "float32[1,28,28,1]"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a file of models."""
    (tmp_path / "my_models.py").write_text(SOURCE, "utf-8")
    (tmp_path / "my_sizes.py").write_text("WIDTH = 3", "utf-8")
    (tmp_path / "my_script.py").write_text("raise SystemExit(0)", "utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("my_models", "my_sizes", "my_script"):
        sys.modules.pop(name, None)


def run(capsys, *arguments):
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert not printed.err
    return printed.out


def fail(capsys, *arguments):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert not printed.out
    first, *rest = printed.err.splitlines()
    assert first.startswith("linen-summary: ")
    return first.removeprefix("linen-summary: "), "\n".join(rest)


def test_json_of_a_model(capsys):
    options = ["--arg", "features=64", *INPUT, "--flops", "--vjp-flops", "--macs", "--memory"]
    read = json.loads(run(capsys, "my_models:CNN", *options, "--format", "json"))
    assert read["module"] == "CNN"
    assert read["totals"]["size"] == {"params": 64 * 9 + 64 + 28 * 28 * 64 * 10 + 10}
    assert read["totals"]["flops"] > read["totals"]["macs"] > 0
    assert read["estimated"] == ["activation_bytes", "training_bytes"]


@pytest.mark.parametrize(
    ("target", "arguments", "features"),
    [
        ("my_models:CNN", [], 8),
        ("my_models:instance", [], 2),
        ("my_models:instance", ["--arg", "features=3"], 3),
        ("my_models:make", ["--arg", "features=4"], 4),
        ("my_models:inner.Model", ["--arg", "features=5", "--arg", "mode=fast"], 5),
    ],
)
def test_kinds_of_targets(capsys, target, arguments, features):
    out = run(capsys, target, *arguments, *INPUT, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows[1]["params size"] == str(10 * features)


def test_keywords_streams_methods_and_depth(capsys):
    keywords = ["--input", "scale=float32[]", "--call", "train=True", "--rng", "noise"]
    read = json.loads(run(capsys, "my_models:CNN", *INPUT, *keywords, "--format=json"))
    assert read["rows"][0]["inputs"][1] == {"scale": "float32[]", "train": True}
    read = json.loads(run(capsys, "my_models:CNN", *INPUT, "--method=encode", "--format=json"))
    assert [row["method"] for row in read["rows"]] == ["encode"]
    read = json.loads(run(capsys, "my_models:CNN", *INPUT, "--depth=0", "--format=json"))
    assert len(read["rows"]) == 1


def test_formats_of_a_table(capsys):
    assert "│   Conv_0" in run(capsys, "my_models:CNN", *INPUT, "--width", "80")
    assert run(capsys, "my_models:CNN", *INPUT, "--format", "markdown").startswith("| path |")
    assert run(capsys, "my_models:CNN", *INPUT, "--format", "html").startswith("<table>")
    picture = ET.fromstring(run(capsys, "my_models:CNN", *INPUT, "--format", "svg"))
    assert "Conv_0" in "".join(picture.itertext())


@pytest.mark.parametrize("chart", ["treemap", "bars"])
def test_charts(capsys, chart):
    options = [*INPUT, "--chart", chart, "--by", "flops"]
    assert "Conv_0" in run(capsys, "my_models:CNN", *options)
    picture = ET.fromstring(run(capsys, "my_models:CNN", *options, "--format", "svg"))
    assert "Dense_0" in "".join(picture.itertext())
    assert "Save as PNG" in run(capsys, "my_models:CNN", *options, "--format", "html")


def test_checkpoint(capsys, folder, registered):
    linen_store.save(folder / "model", nn.Dense(4).init(jax.random.key(0), jnp.ones((1, 3))))
    read = json.loads(run(capsys, "model", "--format", "json"))
    assert read["rows"][0]["variables"]["params"]["kernel"] == "float32[3,4]"
    message, own = fail(capsys, "nowhere")
    assert message == (
        "Cannot open 'nowhere' as a checkpoint: found the error below. Name a model as package.module:Name."
    )
    assert "CheckpointNotFoundError" in own


def test_a_model_may_import_late_and_have_an_argument_named_depth(capsys):
    options = ["--input", "float32[2,3]", "--call", "depth=4", "--format", "json"]
    read = json.loads(run(capsys, "my_models:Late", *options))
    assert read["rows"][0]["outputs"] == "float32[2,7]"
    assert read["rows"][0]["inputs"][1] == {"depth": 4}


@pytest.mark.parametrize(
    ("target", "step"), [("my_script:Model", "import"), ("my_models:Ends", "run")]
)
def test_code_that_ends_the_program_fails_like_any_other(capsys, target, step):
    message, own = fail(capsys, target, "--input", "float32[2]")
    assert message.startswith(f"Cannot {step} {target!r}")
    assert own.endswith("SystemExit: 0")


def test_options_for_other_targets_are_rejected(capsys, folder, registered):
    linen_store.save(folder / "model", nn.Dense(4).init(jax.random.key(0), jnp.ones((1, 3))))
    message, _ = fail(capsys, "model", *INPUT, "--vjp-flops")
    assert message == (
        "Cannot use --input, --vjp-flops for 'model': found a checkpoint, expected a module, named package.module:Name. "
        "Leave out these options."
    )
    message, _ = fail(capsys, "my_models:CNN", *INPUT, "--kind", "npz")
    assert message == (
        "Cannot use --kind for 'my_models:CNN': found a module, expected a checkpoint. Leave out these options."
    )
    message, _ = fail(capsys, "my_models.CNN", *INPUT)
    assert message.startswith("Cannot open 'my_models.CNN' as a checkpoint: ")


@pytest.mark.parametrize(
    ("option", "text", "least"),
    [("--depth", "-1", 0), ("--depth", "two", 0), ("--width", "0", 1), ("--width", "-3", 1)],
)
def test_numbers_that_are_too_small_end_with_2(capsys, option, text, least):
    with pytest.raises(SystemExit) as caught:
        main(["my_models:CNN", *INPUT, f"{option}={text}"])
    assert caught.value.code == 2
    expected = f"{option}: found {text!r}, expected a whole number, {least} or more"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("text", ["float32[ 2, 3 ]", "float32[2,3,]", "x=float32[2,3]"])
def test_spaces_and_a_last_comma_are_accepted(capsys, text):
    out = run(capsys, "linen_core:LayerNorm", "--input", text, "--format", "csv")
    assert "float32[2,3]" in out


def test_checkpoint_without_linen_store(capsys, monkeypatch):
    none = importlib.metadata.EntryPoints(())
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: none)
    _, own = fail(capsys, "somewhere")
    assert own.endswith("For checkpoints, run `pip install linen-store`.")


def test_target_that_cannot_be_imported(capsys):
    message, own = fail(capsys, "no_such_module:Model")
    assert message == (
        "Cannot import 'no_such_module:Model': found the error below, expected a module. "
        "Name it as package.module:Name, from a folder where Python finds it."
    )
    assert own == "ModuleNotFoundError: No module named 'no_such_module'"
    _, own = fail(capsys, "my_models:Missing")
    assert own.endswith("AttributeError: module 'my_models' has no attribute 'Missing'")


def test_target_that_cannot_be_constructed(capsys):
    message, own = fail(capsys, "my_models:CNN", "--arg", "width=3")
    assert message == (
        "Cannot construct 'my_models:CNN': found the error below, expected a module. "
        "Give its fields with --arg, like features=64."
    )
    assert "unexpected keyword argument 'width'" in own


@pytest.mark.parametrize(("name", "found"), [("makes_a_number", "int")])
def test_target_that_does_not_return_a_module(capsys, name, found):
    message, own = fail(capsys, f"my_models:{name}")
    assert message == (
        f"Cannot summarise 'my_models:{name}': found a {found}, expected a subclass of linen_core.Module, a module "
        "or a function that returns one. Name it as package.module:Name."
    )
    assert own == ""


@pytest.mark.parametrize(
    "text",
    [
        "float32",
        "float32[1,28",
        "float99[2]",
        "[2]",
        "float32[a]",
        "1x=float32[2]",
        "str[2]",
        "object[2]",
        "float32[1,,2]",
        "float32[1 2]",
        "float32[-1]",
    ],
)
def test_bad_input(capsys, text):
    message, own = fail(capsys, "my_models:CNN", "--input", text)
    assert message == (
        f"Cannot read the input {text!r}: expected a dtype and a shape, for example float32[1,28,28,1], or "
        "name=float32[1] for a keyword. In a shell, put it in quotes."
    )
    assert ("float99" in own) == (text == "float99[2]")


@pytest.mark.parametrize("option", ["--arg", "--call"])
def test_bad_value(capsys, option):
    message, _ = fail(capsys, "my_models:CNN", *INPUT, option, "features")
    assert message == (
        f"Cannot read 'features' after {option}: expected a name and a value, for example {option} features=64."
    )


def test_model_that_fails(capsys):
    message, own = fail(capsys, "my_models:Broken", "--input", "float32[2]")
    assert message == (
        "Cannot run 'my_models:Broken' on float32[2]: found the error below. Check the inputs (--input, --call) and "
        "the fields (--arg)."
    )
    assert own.endswith("RuntimeError: the wheel fell off")
    assert 'my_models.py", line' in own
    message, _ = fail(capsys, "my_models:CNN")
    assert message.startswith("Cannot run 'my_models:CNN' on no inputs: ")


def test_charts_that_cannot_be_drawn(capsys):
    message, _ = fail(capsys, "my_models:CNN", *INPUT, "--chart", "bars", "--format", "json")
    assert message == (
        "Cannot draw a chart as 'json': charts have the formats rich, svg and html. Choose one with --format."
    )
    message, _ = fail(capsys, "my_models:CNN", *INPUT, "--chart", "bars", "--by", "colour")
    assert message == (
        "Cannot draw 'colour': found only size, bytes in the table. Choose one of them, or request it from "
        "`summarize`, for example with compute_flops=True."
    )


def test_errors_carry_their_data():
    assert issubclass(errors.CommandError, LinenError)
    assert issubclass(errors.CommandError, ValueError)
    assert errors.TargetError("a:B", "import", "Do.").step == "import"
    assert errors.ModelRunError("a:B", "float32[1]").inputs == "float32[1]"
    assert errors.UnknownMeasureError("x", ("size",)).known == ("size",)
    assert errors.UnusedOptionsError("x", ("--arg",), "checkpoint").options == ("--arg",)


def test_unknown_option_ends_with_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["my_models:CNN", "--no-such-option"])
    assert caught.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_as_a_program(folder):
    command = [sys.executable, "-m", "linen_summary", "my_models:CNN", *INPUT, "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=True)
    assert done.stdout.startswith(textwrap.dedent("path,module,method,"))
