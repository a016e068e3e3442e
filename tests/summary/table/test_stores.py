"""Tables of stores, mappings and checkpoints, built without reading a value."""

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
from summary.table._variables import KEY, VARIABLES, Model, Unread, X


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


def test_depth_counts_deeper_variables_in_the_row_above():
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


def test_64_bit_dtypes_are_kept():
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


def test_names_in_brackets_are_not_markup():
    odd = {"params": {"[red]a": jnp.ones(1), "[/b]": {"c": jnp.ones(2)}}, "[red]d": {}}
    assert "[/b]" in str(tabulate_store(odd))
    assert "[red]d" in str(tabulate_store(odd))
    assert "[/b]/c" in str(compare(odd, {}))


def test_an_object_that_is_not_a_store():
    with pytest.raises(TypeError):
        tabulate_store(types.SimpleNamespace())
