"""One pass over a database finds what looking up each name does."""

import os

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st
from orbax.checkpoint import v1

import linen_store
from linen_store.errors import DamagedCheckpointError
from linen_store.formats.orbax import arrays
from linen_store.formats.orbax.ocdbt import inline_values

NAMES = st.text("ab/.", min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    names=st.sets(NAMES, min_size=1, max_size=60),
    node_bytes=st.sampled_from([100, 1000, 100_000]),
    inline_bytes=st.sampled_from([1, 20]),
)
def test_the_pass_finds_the_values_in_nodes(names, node_bytes, inline_bytes):
    context = ts.Context()
    config = {"max_decoded_node_bytes": node_bytes, "max_inline_value_bytes": inline_bytes}
    store = ts.KvStore.open(
        {"driver": "ocdbt", "base": "memory://", "config": config}, context=context
    ).result()
    for number, name in enumerate(sorted(names)):
        store[name] = b"x" * (number % 30)
    expected = {
        key.decode(): store[key]
        for key in store.list().result()
        if key.endswith(b".a") and len(store[key]) <= inline_bytes
    }
    assert inline_values(store.base, ".a", context) == expected


def tree(count):
    return {
        "params": {f"layer_{n}": {"kernel": np.full((1 + n % 5, 3), n)} for n in range(1, count)}
    }


@pytest.fixture(params=[True, False], ids=["zarr3", "zarr2"])
def many(request, tmp_path):
    context = v1.Context()
    context.array.saving.use_zarr3 = request.param
    with context:
        v1.save(tmp_path / "many", tree(420))
    return str(tmp_path / "many")


def test_many_arrays_of_orbax_are_described_as_one_by_one(many, monkeypatch):
    at_once = linen_store.CheckpointStore(many).spec("params")
    monkeypatch.setattr(arrays, "_MANY", 1000)
    assert linen_store.CheckpointStore(many).spec("params") == at_once
    monkeypatch.undo()
    read = linen_store.CheckpointStore(many).snapshot()
    for name, layer in tree(420)["params"].items():
        assert np.array_equal(read["params"][name]["kernel"], layer["kernel"])


def test_damage_is_named_where_there_are_many(many):
    folder = os.path.join(many, "pytree", "d")
    folder = folder if os.path.isdir(folder) else os.path.join(many, "state", "d")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "r+b") as file:
            file.seek(40)
            file.write(b"xxxx")
    with pytest.raises(DamagedCheckpointError):
        linen_store.CheckpointStore(many).spec("params")
