"""Comparisons of the variables of models, stores and checkpoints."""

import json

import jax.numpy as jnp
import pytest

import linen_core as nn
import linen_store
from linen_summary import compare
from linen_summary.errors import MissingInputsError
from summary.table._variables import KEY, VARIABLES, Model, Unread, X


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
def test_comparison_of_every_kind_of_variables(tmp_path, registered, first, second):
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


def test_boxes_are_removed():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", None))
    assert not compare(nn.Dense(4), nn.Dense(4, kernel_init=init), KEY, X)


def test_comparing_a_model_without_inputs():
    with pytest.raises(MissingInputsError) as caught:
        compare(Model(), VARIABLES)
    assert caught.value.module == "Model"
    assert str(caught.value) == (
        "Cannot compare Model: found no key and no inputs, expected those of its `init`. Call compare(first, second, "
        "jax.random.key(0), inputs). Inputs may be jax.ShapeDtypeStruct."
    )
