"""Each difference of docs/coming-from-flax.md, with flax and with Linen: the test has the words of the page."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import flax
import flax.linen
import flax.serialization
import flax.training.checkpoints
import flax.training.train_state
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

import linen_core
import linen_core.errors
import linen_store
import linen_store.checkpoints
import linen_store.errors
import linen_store.serialization

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-flax.md"
KEY, X = jax.random.key(0), np.ones((2, 3), np.float32)
CHECKS = {}


def difference(words):
    def add(check):
        CHECKS[words] = check
        return check

    return add


def outcome(function):
    """Return the result, or the class of the error."""
    try:
        return function()
    except Exception as error:
        return type(error)


def both(function):
    return [outcome(lambda nn=nn: function(nn)) for nn in (flax.linen, linen_core)]


@difference("`self.variables`")
def variables_of_a_module(_):
    def run(nn):
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                nn.Dense(2)(x)
                self.variables["params"]["new"] = 1
                return "new" in self.variables["params"]

        return Model().init_with_output(KEY, X)[0]

    assert both(run) == [True, False]


def field_of(nn, change):
    class Model(nn.Module):
        layers: dict

        def __call__(self):
            return change(self.layers)

    return Model({"a": 1}).apply({})


@difference("dicts in fields")
def dicts_in_fields(_):
    assert both(lambda nn: field_of(nn, lambda layers: isinstance(layers, dict))) == [False, True]
    assert both(lambda nn: field_of(nn, lambda layers: layers.update(b=1))) == [
        AttributeError,
        ValueError,
    ]
    with pytest.raises(ValueError, match=r"^An attribute of a module is immutable"):
        field_of(linen_core, lambda layers: layers.update(b=1))


@difference("activations")
def activations(_):
    assert both(lambda nn: nn.relu is jax.nn.relu) == [True, False]
    assert len({float(nn.relu(-1.0)) for nn in (flax.linen, linen_core)}) == 1


@difference("pickles of modules")
def pickles(_):
    found = both(lambda nn: pickle.loads(pickle.dumps(nn.Dense(2))).features)
    assert found == [AttributeError, 2]


@difference("rate of `nn.Dropout` above 1")
def dropout(_):
    found = both(lambda nn: nn.Dropout(1.5, deterministic=False).apply({}, X, rngs={"dropout": KEY}).shape)  # fmt: skip
    assert found == [(2, 3), linen_core.errors.DropoutRateError]


@difference("variables that are not a mapping")
def variables_in_a_list(_):
    found = both(lambda nn: nn.Dense(2).apply([1], X))
    assert found == [AttributeError, linen_core.errors.ApplyScopeInvalidVariablesTypeError]


@difference("bases of errors")
def bases(_):
    kinds = both(lambda nn: nn.Dense(2).apply({}, X))
    assert [kind.__name__ for kind in kinds] == ["ScopeCollectionNotFound"] * 2
    assert [issubclass(kind, KeyError) for kind in kinds] == [False, True]
    assert issubclass(kinds[1], linen_core.errors.FlaxError)


@difference("`nn.vmap` of a lambda that makes a module")
def vmap_of_a_lambda(_):
    def run(nn):
        lifted = nn.vmap(
            lambda: nn.Dense(2), variable_axes={"params": 0}, in_axes=None, axis_size=2
        )
        return lifted().init(KEY, X)

    assert both(run) == [TypeError, linen_core.errors.TransformTargetError]
    assert issubclass(linen_core.errors.TransformTargetError, TypeError)


@difference("a class as the target of `from_bytes`")
def class_as_target(_):
    assert flax.serialization.from_bytes(flax.linen.Dense, b"\x80") == {}
    with pytest.raises(linen_store.errors.StateTargetError):
        linen_store.serialization.from_bytes(linen_core.Dense, b"\x80")


@difference("`nn.DenseGeneral` with several named axes under `jax.set_mesh`")
def dense_general(_):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))

    def run(nn):
        init = nn.with_logical_partitioning(nn.initializers.ones, ("e", "h", "k"))
        with jax.set_mesh(mesh), nn.logical_axis_rules((("e", None), ("h", "x"), ("k", None))):
            variables = nn.DenseGeneral((2, 2), kernel_init=init).init(KEY, X)
        return nn.unbox(variables)["params"]["kernel"].shape

    assert both(run) == [ValueError, (3, 2, 2)]


@difference("`with mesh:` around a model")
def legacy_mesh(_):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    with mesh:
        flax.linen.with_logical_constraint(X, ("x", None), rules=(("x", "x"),))
        with pytest.warns(RuntimeWarning, match=r"^The mesh entered as `with mesh:` is ignored"):
            linen_core.with_logical_constraint(X, ("x", None), rules=(("x", "x"),))


@difference("equal blocks under `nn.jit`")
def blocks_under_jit(_):
    def run(nn):
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                for i in range(2):
                    x = nn.jit(nn.Dense)(3, name=f"block_{i}")(x)
                return x

        model = Model()
        lowered = jax.jit(model.apply).lower(model.init(KEY, X), X)
        return lowered.as_text().count("func.func") - 1

    assert both(run) == [2, 1]


@difference("checkpoints of `save_checkpoint`")
def checkpoints(tmp_path):
    tree, zeros = {"w": np.ones(3)}, {"w": np.zeros(3)}
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    linen_store.checkpoints.save_checkpoint(ours, tree, 3)
    flax.training.checkpoints.save_checkpoint(theirs, tree, 3)
    assert linen_store.checkpoints.restore_checkpoint(theirs, zeros)["w"].tolist() == [1, 1, 1]
    with pytest.raises(IsADirectoryError):
        flax.training.checkpoints.restore_checkpoint(ours, zeros)
    assert linen_store.restore(zeros, os.path.join(ours, "checkpoint_3"))[0]["w"].tolist() == [1, 1, 1]  # fmt: skip
    read = ocp.experimental.v1.load(os.path.join(ours, "checkpoint_3"), zeros)
    assert read["w"].tolist() == [1, 1, 1]


@difference("arrays in the body of `init`")
def arrays_in_the_body_of_init(_):
    function = jax.jit(lambda x: 2 * x)
    program = function.lower(jax.ShapeDtypeStruct((2, 2), np.float32)).compile()

    def run(nn, call):
        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                x = nn.Dense(2)(x)
                return isinstance(x, jax.core.Tracer), type(np.asarray(x)), call(x).shape

        return Model().init_with_output(KEY, X)[0]

    assert both(lambda nn: run(nn, function)) == [
        (False, np.ndarray, (2, 2)),
        (True, np.ndarray, (2, 2)),
    ]
    assert both(lambda nn: run(nn, program)) == [(False, np.ndarray, (2, 2)), TypeError]
    assert run(linen_core, lambda x: program(np.asarray(x))) == (True, np.ndarray, (2, 2))


@difference("classes")
def classes(_):
    assert not isinstance(linen_core.Dense(1), flax.linen.Module)
    assert not isinstance(flax.core.freeze({}), linen_store.FrozenDict)
    assert linen_store.freeze(dict(flax.core.freeze({"a": {}}))) == linen_store.freeze({"a": {}})

    def run(nn):
        other = linen_core if nn is flax.linen else flax.linen

        class Model(nn.Module):
            @nn.compact
            def __call__(self, x):
                return other.Dense(2)(x)

        return Model().init(KEY, X)

    assert [kind.__name__ for kind in both(run)] == ["CallCompactUnboundModuleError"] * 2
    variables = linen_core.Dense(2).init(KEY, X)
    frozen = linen_store.freeze(variables)
    assert linen_core.Dense(2).apply(flax.core.freeze(variables), X).shape == (2, 2)
    assert outcome(lambda: flax.linen.Dense(2).apply(frozen, X)) is flax.errors.ApplyScopeInvalidVariablesTypeError  # fmt: skip
    assert flax.linen.Dense(2).apply(linen_store.unfreeze(frozen), X).shape == (2, 2)


@pytest.mark.filterwarnings("ignore:.with mesh:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*context manager has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_difference(check, tmp_path):
    check(tmp_path)


def test_pickles_of_flax_can_be_loaded(tmp_path):
    state = flax.training.train_state.TrainState(0, None, {"w": np.ones(2)}, None, ())
    tmp_path.joinpath("a.pkl").write_bytes(pickle.dumps((flax.core.freeze({"a": 1}), state)))
    program = tmp_path / "load.py"
    program.write_text(
        "import pickle\nfor x in pickle.load(open('a.pkl', 'rb')): print(type(x).__module__, x)"
    )
    command = [sys.executable, "-m", "linen_core.flax_compat", "run", str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("linen_store"), done.stderr
    assert lines[-1] == f"linen_core.train_state {state}"


def test_page_lists_these_differences():
    section = PAGE.read_text("utf-8").partition("## Differences")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \|", section, re.MULTILINE)
    assert rows[1:] == list(CHECKS)
