"""Tables of stores, mappings and checkpoints, and what differs between them, without reading a value."""

import importlib.metadata
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_store
from linen_core.errors import UnknownStoreError
from linen_summary import compare, summarize, tabulate_store
from linen_summary.errors import MissingInputsError

KEY = jax.random.key(0)
X = jax.ShapeDtypeStruct((2, 6), jnp.float32)


class Head(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.Dense(3)(x))


class Model(nn.Module):
    width: int = 4

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(self.width)(x))
        scale = self.param("scale", nn.initializers.ones, (1,))
        return Head()(x) * scale


VARIABLES = Model().init(KEY, jnp.ones(X.shape))


class Unread(nn.MemoryStore):
    """A store that nobody may read from."""

    def read(self, collection, paths):
        raise AssertionError(paths)


@pytest.fixture
def registered(monkeypatch):
    """Register the checkpoints of linen-store, and files with the suffix npz."""
    targets = {
        "checkpoint": "linen_store.checkpoint_store:CheckpointStore",
        "npz": "linen_store.npz_store:NpzStore",
    }
    entries = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, target, "linen.stores")
        for name, target in targets.items()
    )
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: entries.select(group=group)
    )


@pytest.mark.parametrize("variables", [VARIABLES, Unread(VARIABLES)], ids=["mapping", "store"])
def test_table_of_variables(variables):
    table = tabulate_store(variables)
    assert table.module is None
    assert table.collections == ("batch_stats", "params")
    assert {row.name: row.size for row in table} == {
        "": 1,
        "BatchNorm_0": 16,
        "Dense_0": 28,
        "Head_0/Dense_1": 15,
        "Head_0/Dense_0": 8,
    }
    assert table.totals() == summarize(Model(), KEY, X).totals()
    assert table.title == "Variables"
    assert table[0].path == ()


def test_depth_counts_what_lies_deeper_in_the_row_above():
    table = tabulate_store(VARIABLES, depth=1)
    assert {row.name: row.size for row in table}["Head_0"] == 23
    assert tabulate_store(VARIABLES, depth=0).size == tabulate_store(VARIABLES).size == 68
    assert len(tabulate_store(VARIABLES, depth=0)) == 1


def test_formats_of_a_table_of_variables():
    table = tabulate_store(VARIABLES)
    read = json.loads(table.to_json())
    assert read["module"] is None
    assert sum(sum(row["size"].values()) for row in read["rows"]) == 68
    assert ",,,,,,scale: float32[1],0,0,1,4\n" in table.to_csv()
    assert "Total" in table.to_markdown()
    assert "<caption>Variables</caption>" in table.to_html()
    text = str(tabulate_store({"params": {"a": {"b": {"c": jnp.ones(3)}}}}))
    assert text == (
        "Variables\n"
        "┏━━━━━━━┳━━━━━━━━┳━━━━━━━┓\n"
        "┃ path  ┃ params ┃ bytes ┃\n"
        "┡━━━━━━━╇━━━━━━━━╇━━━━━━━┩\n"
        "│ a/b   │      3 │  12 B │\n"
        "├───────┼────────┼───────┤\n"
        "│ Total │      3 │  12 B │\n"
        "└───────┴────────┴───────┘"
    )


def test_checkpoint_is_found_through_the_registry(tmp_path, registered, monkeypatch):
    path = tmp_path / "model"
    linen_store.save(path, VARIABLES)
    refuse = lambda self, collection, paths: pytest.fail(f"read {paths}")
    monkeypatch.setattr(linen_store.CheckpointStore, "read", refuse)
    table = tabulate_store(path)
    assert table.totals() == summarize(Model(), KEY, X).totals()
    assert table.title == f"Variables of {path}"
    assert not compare(Model(), path, KEY, X)


def test_suffix_chooses_the_store(tmp_path, registered):
    path = tmp_path / "model.npz"
    np.savez(path, **{"params/dense/bias": np.zeros(3, np.float16)})
    assert [(row.name, row.bytes) for row in tabulate_store(str(path))] == [("dense", 6)]
    assert tabulate_store(path, kind="npz").size == 3


def test_store_that_is_not_installed(monkeypatch):
    none = importlib.metadata.EntryPoints(())
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: none)
    with pytest.raises(UnknownStoreError) as caught:
        tabulate_store("somewhere")
    assert str(caught.value).endswith("For checkpoints, run `pip install linen-store`.")


def test_partitioned_and_odd_leaves():
    boxed = nn.Partitioned(jnp.ones((2, 3)), ("in", None))
    key = jax.random.key(3)
    table = tabulate_store({"params": {"w": boxed, "keys": key, "empty": {}}, "notes": {}})
    assert table.size == 7
    assert "w: float32[2,3] P(in, None)" in table.to_csv()
    assert [row.name for row in table] == ["", "empty"]


def test_dtypes_that_jax_would_narrow_stay():
    wide = {"params": {"w": np.zeros(3), "n": np.zeros(2, np.int64), "names": np.array(["a"])}}
    table = tabulate_store(wide)
    assert table.to_dict()["rows"][0]["variables"]["params"]["w"] == "float64[3]"
    assert table.bytes == 3 * 8 + 2 * 8 + 4
    narrow = {"params": {**wide["params"], "w": np.zeros(3, np.float32)}}
    assert [(change.kind, change.name) for change in compare(wide, narrow)] == [("recast", "w")]


def test_collection_that_is_one_value_is_counted():
    table = tabulate_store({"step": jnp.int32(3), "params": {"dense": {"bias": jnp.ones(2)}}})
    assert table.totals() == {"params": (2, 8), "step": (1, 4)}
    assert [row.name for row in table] == ["", "dense"]
    assert table.to_dict()["rows"][0]["variables"] == {"params": {}, "step": "int32[]"}
    assert "│ .       │        │    1 │" in str(table)


def test_names_in_brackets_are_no_markup():
    odd = {"params": {"[red]a": jnp.ones(1), "[/b]": {"c": jnp.ones(2)}}, "[red]d": {}}
    assert "[/b]" in str(tabulate_store(odd))
    assert "[red]d" in str(tabulate_store(odd))
    assert "[/b]/c" in str(compare(odd, {}))


def test_compare_finds_each_kind_of_change():
    first = {"params": {"a": jnp.ones(3), "b": jnp.ones(3), "c": jnp.ones(3), "d": jnp.ones(3)}}
    second = {
        "params": {
            "b": jnp.ones(4),
            "c": jnp.ones(3, jnp.bfloat16),
            "d": jnp.ones((1, 3), jnp.int32),
            "e": {"x": jnp.ones(3)},
        },
        "batch_stats": {"mean": jnp.ones(1)},
    }
    found = compare(first, Unread(second))
    assert [(change.kind, change.collection, change.name) for change in found] == [
        ("added", "batch_stats", "mean"),
        ("removed", "params", "a"),
        ("reshaped", "params", "b"),
        ("recast", "params", "c"),
        ("reshaped and recast", "params", "d"),
        ("added", "params", "e/x"),
    ]
    assert (found[2].first.shape, found[2].second.shape) == ((3,), (4,))
    assert found.unchanged == 0
    assert [change.kind for change in found[1:3]] == ["removed", "reshaped"]


def test_comparison_prints_and_parses_back():
    found = compare(Model(4), Model(5), KEY, X)
    assert {change.kind for change in found} == {"reshaped"}
    read = json.loads(found.to_json())
    assert read["unchanged"] == found.unchanged == 4
    line = {
        "change": "reshaped",
        "collection": "params",
        "path": "Dense_0/kernel",
        "first": "float32[6,4]",
        "second": "float32[6,5]",
    }
    assert line in read["changes"]
    assert (
        ",".join(line.values())
        .replace("[6,4]", '[6,4]"')
        .replace("float32[6,4", '"float32[6,4')
        .replace("float32[6,5]", '"float32[6,5]"')
        in found.to_csv()
    )
    assert f"| {' | '.join(line.values())} |" in found.to_markdown()
    assert found._repr_html_().count("<tr>") == len(found) + 1
    assert str(found).startswith("7 of 11 variables differ\n")
    assert str(compare(VARIABLES, VARIABLES)) == "No difference in 11 variables"
    one = {"params": {"w": jnp.ones(1)}}
    assert compare(one, one).title == "No difference in 1 variable"


@pytest.mark.parametrize("second", ["module", "mapping", "store", "frozen", "path", "opened"])
@pytest.mark.parametrize("first", ["module", "mapping", "store", "frozen", "path", "opened"])
def test_comparison_takes_whatever_holds_variables(tmp_path, registered, first, second):
    linen_store.save(tmp_path / "model", VARIABLES)
    sides = {
        "module": Model(),
        "mapping": VARIABLES,
        "store": Unread(VARIABLES),
        "frozen": linen_store.FrozenDict(VARIABLES),
        "path": str(tmp_path / "model"),
        "opened": linen_store.CheckpointStore(tmp_path / "model"),
    }
    found = compare(sides[first], sides[second], KEY, X)
    assert (len(found), found.unchanged) == (0, 11)
    found = compare(sides[first], {"params": {}}, KEY, X)
    assert {change.kind for change in found} == {"removed"}
    assert len(found) == 11


def test_boxes_are_taken_off():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", None))
    assert not compare(nn.Dense(4), nn.Dense(4, kernel_init=init), KEY, X)


def test_comparing_a_model_without_inputs():
    with pytest.raises(MissingInputsError) as caught:
        compare(Model(), VARIABLES)
    assert caught.value.module == "Model"
    assert str(caught.value) == (
        "Cannot compare Model: found no keys and inputs to find its variables with, expected those of its `init`. "
        "Call compare(first, second, jax.random.key(0), inputs), shapes suffice as inputs."
    )


def test_what_is_no_store():
    with pytest.raises(TypeError):
        tabulate_store(types.SimpleNamespace())
