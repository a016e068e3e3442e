"""Safetensors: single files, parts, and files that are damaged or hostile."""

import json

import jax.numpy as jnp
import pytest
import safetensors.flax
import safetensors.numpy
from flax.traverse_util import flatten_dict

import linen_core as nn
import linen_store
from linen_store import SafetensorsStore, open_store
from linen_store.errors import (
    CheckpointNotFoundError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeNameError,
)

TREE = {
    "params": {
        "Dense_0": {"kernel": jnp.arange(12.0).reshape(3, 4), "bias": jnp.ones(4, jnp.bfloat16)},
        "Embed": {"embedding": jnp.arange(6, dtype=jnp.int8).reshape(2, 3)},
    },
    "batch_stats": {"mean": jnp.zeros((2, 0)), "flag": jnp.array(True)},
}


FLAT = flatten_dict(TREE, sep=".")


def write_sharded(path):
    names = sorted(FLAT)
    parts = {"a.safetensors": names[:2], "b.safetensors": names[2:]}
    for file, some in parts.items():
        safetensors.flax.save_file({name: FLAT[name] for name in some}, path / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path / "model.safetensors.index.json"


def header(fields, data=b"", length=None):
    raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        header({}, length=2**62),
        header({}, length=99),
        header(b"{"),
        header(b"[]"),
        header({"a": entry([2], [0, 8])}),
        header({"a": entry([2**60], [0, 2**62])}),
        header({"a": entry([1], [0, 8])}, bytes(8)),
        header({"a": entry([-1], [0, 4])}, bytes(4)),
        header({"a": entry([1], [-4, 0])}, bytes(4)),
        header({"a": entry([1], [0, 4], "F99")}, bytes(4)),
        header({"a": entry([1], [0, 4]), "b": entry([1], [2, 6])}, bytes(8)),
        header({"a": 3}),
        header({"a": entry("xy", [0, 4])}, bytes(4)),
        header(b"[" * 100_000),
        header({"a": entry([1], [4, 8])}, bytes(8)),
        header({"a": entry([1], [0, 4])}, bytes(8)),
        header({"a": entry([1], [0, 4.0])}, bytes(4)),
        header({"a": entry([True], [0, 4])}, bytes(4)),
        header({"a": entry([0, 2**70], [0, 0])}),
        header({"__metadata__": 3}),
    ],
    ids=range(22),
)
def test_safetensors_that_lie(tmp_path, raw):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    with pytest.raises(DamagedCheckpointError) as caught:
        SafetensorsStore(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize("file", ["../x.safetensors", "/etc/passwd", "..", ""])
def test_an_index_that_leads_elsewhere(tmp_path, file):
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(UnsafeNameError):
        open_store(path)


def test_an_index_that_does_not_fit(tmp_path):
    path = write_sharded(tmp_path)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({"weight_map": {**fields["weight_map"], "extra": "a.safetensors"}}))
    with pytest.raises(DamagedCheckpointError):
        open_store(path)
    path.write_text("{}")
    with pytest.raises(DamagedCheckpointError):
        open_store(path)
    path.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(CheckpointNotFoundError):
        open_store(path)


def test_bare_metadata_says_that_the_names_are_those_of_flax(tmp_path, same):
    weights = {"params.fc.weight": jnp.ones(3)}
    safetensors.flax.save_file(weights, tmp_path / "m.safetensors", metadata={"format": "flax"})
    assert open_store(tmp_path / "m.safetensors").children("params", ("fc",)) == ("weight",)
    tree = {"params": {"weight": jnp.ones(3, jnp.int8), "b": jnp.ones(2)}}
    linen_store.convert(nn.MemoryStore(tree), tmp_path / "n.safetensors")
    assert same(open_store(tmp_path / "n.safetensors").snapshot(), tree)
    loaded = safetensors.flax.load_file(tmp_path / "n.safetensors")
    assert same(loaded, {"params.weight": jnp.ones(3, jnp.int8), "params.b": jnp.ones(2)})


def test_the_folder_of_safetensors(tmp_path):
    write_sharded(tmp_path)
    assert SafetensorsStore(tmp_path).collections() == ("batch_stats", "params")
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(NotACheckpointError, match=r"\['a.safetensors', 'b.safetensors'\]"):
        SafetensorsStore(tmp_path)
