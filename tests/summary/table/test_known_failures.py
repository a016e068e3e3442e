"""Models for which tables of other libraries fail or show wrong numbers."""

import csv
import io

import jax
import jax.numpy as jnp
import pytest
import rich.console

import linen_core as nn
from linen_summary import summarize
from parity._tabulated import MODELS

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout", "noise", "carry"))}
X = jax.ShapeDtypeStruct((2, 3), jnp.float32)
FLOPS = {"compute_flops": True, "compute_vjp_flops": True}


def built(name):
    module, args, *kwargs = MODELS[name](nn)
    return module, args, kwargs[0] if kwargs else {}


def leaf_paths(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(key.key for key in path) for path, _ in leaves}


class Sorts(nn.Module):
    @nn.compact
    def __call__(self, x):
        return jnp.sort(nn.Dense(3)(x))


def test_flops_without_an_analysis_are_unknown_and_not_0(monkeypatch):
    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", lambda self: None)
    table = summarize(Sorts(), RNGS, X, **FLOPS)
    assert (table.flops, table.vjp_flops) == (None, None)
    assert "has no cost analysis" in table[0].flops_note
    assert str(table).count("unknown") == 4  # two of the root, two in the totals
    assert table[1].flops == 2 * 2 * 3 * 3 + 6  # rules count operations without the analysis


def test_analysis_that_is_not_implemented_is_unknown(monkeypatch):
    def refuse(self):
        raise NotImplementedError("not on this platform")

    monkeypatch.setattr(jax.stages.Lowered, "cost_analysis", refuse)
    table = summarize(Sorts(), RNGS, X, compute_flops=True)
    assert table[0].flops_note.startswith(
        "Cannot count FLOPs: the backend 'cpu' has no cost analysis"
    )


class Refuses(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(3)(x)
        if not self.is_initializing():
            raise RuntimeError("not [red]now[/red]")
        return y


class Outer(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(Refuses(name="inner")(x))


def test_every_format_says_why_a_number_is_unknown():
    table = summarize(Outer(), RNGS, X, compute_flops=True)
    why = "RuntimeError: not [red]now[/red]"
    assert [row.flops for row in table[:2]] == [None, None]
    printed = Outer().tabulate(RNGS, X, compute_flops=True, console_kwargs={"width": 120})
    for text in (str(table), printed):
        assert f"FLOPs of Outer: {why}" in text
        assert f"FLOPs of inner: {why}" in text
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["unknown"] for row in rows] == [f"flops: {why}"] * 2 + ["", ""]
    assert table.to_dict()["rows"][0]["unknown"] == {"flops": why}
    assert [row.notes for row in table[1:]] == [[f"FLOPs of inner: {why}"], [], []]
    for text in (table.to_markdown(), table.to_html()):
        assert text.count(f"flops: {why}") == 2
    assert "unknown" not in summarize(Sorts(), RNGS, X, compute_flops=True).to_csv()


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_a_table_with_flops(name):
    module, args, kwargs = built(name)
    table = summarize(module, RNGS, *args, **FLOPS, **kwargs)
    assert all(row.flops is not None and row.vjp_flops is not None for row in table)
    assert not any(row.unknown for row in table)


def test_weight_norm():
    module, args, _ = built("weight_norm")
    table = summarize(module, RNGS, *args, **FLOPS)
    variables = jax.eval_shape(lambda: module.init(RNGS, *args))
    assert table.size == sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert table.flops > 0


@pytest.mark.parametrize(
    "name",
    [
        "scanned",
        "rematerialized",
        "scanned_and_rematerialized",
        "vectorized",
        "jitted_and_mapped",
        "bidirectional",
    ],
)
def test_paths_under_transforms_are_those_of_the_variables(name):
    module, args, _ = built(name)
    variables = jax.eval_shape(lambda: module.init(RNGS, *args))
    found = {
        (path[0], *row.path, *path[1:])
        for row in summarize(module, RNGS, *args)
        for path in leaf_paths(row.module_variables)
    }
    assert found == leaf_paths(variables)


def test_several_inputs_and_outputs_and_empty_containers():
    class Several(nn.Module):
        @nn.compact
        def __call__(self, batch, scale, *, empty, mask=None):
            return {"y": nn.Dense(2)(batch["x"]) * scale, "none": None}, (), []

    batch = {"x": X, "none": None, "empty": {}}
    row = summarize(Several(), RNGS, batch, 2.0, empty={}, compute_flops=True)[0]
    assert row.inputs == (batch, 2.0, {"empty": {}})
    assert row.outputs[0]["y"].shape == (2, 2)
    assert row.outputs[1:] == ((), [])
    assert row.flops > 0


def test_module_without_variables_or_results():
    class Empty(nn.Module):
        @nn.compact
        def __call__(self):
            return None

    table = summarize(Empty(), {}, **FLOPS)
    assert (len(table), table.size, table.flops, table.collections) == (1, 0, 0, ())
    assert table.to_csv().splitlines()[1] == ",Empty,__call__,,,0,0"


def test_inputs_and_keys_may_be_shapes():
    keys = jax.eval_shape(lambda: RNGS)
    before = len(jax.live_arrays())
    table = summarize(
        built("cnn")[0], keys, jax.ShapeDtypeStruct((2, 8, 8, 3), "float32"), True, **FLOPS
    )
    concrete = summarize(built("cnn")[0], RNGS, jnp.ones((2, 8, 8, 3)), True, **FLOPS)
    assert table.to_dict() == concrete.to_dict()
    assert len(jax.live_arrays()) <= before + 1


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("memory", [False, True])
def test_cells_do_not_wrap(width, memory):
    module, args, _ = built("residual_network")
    table = summarize(module, RNGS, *args, compute_memory=memory, **FLOPS)
    output = io.StringIO()
    rich.console.Console(file=output, width=width).print(table)
    lines = output.getvalue().splitlines()
    body = [line for line in lines if line.startswith("│")]
    assert len(body) == len(table) + 1
    assert max(map(len, lines)) <= width
    assert all(row.path[-1] in line for row, line in zip(table[1:], body[1:], strict=False))


def test_columns_that_are_left_out_are_named():
    module, args, _ = built("residual_network")
    options = {"compute_macs": True, "compute_memory": True, **FLOPS}
    text = str(summarize(module, RNGS, *args, **options))
    assert "Outputs and bytes are not shown at this width." in text or (
        "Outputs are not shown at this width." in text
    )


def test_hidden_calls_are_mentioned():
    module, args, _ = built("shared")
    table = summarize(module, RNGS, *args)
    assert table.hidden_calls == 2
    assert "2 further calls of modules above" in str(table)
    assert table.to_dict()["hidden_calls"] == 2
    shown = summarize(module, RNGS, *args, show_repeated=True)
    assert "its variables are counted above" in str(shown)


def test_detached_modules_have_no_rows():
    class Helper(nn.Module):
        def double(self, x):
            return 2 * x

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(Helper(parent=None).double(x))

    assert [row.name for row in summarize(Model(), RNGS, X)] == ["", "Dense_0"]
