"""Every format that Linen users have on disk, written by the libraries themselves."""

import json
import pathlib
import pickle
import zipfile

import flax.serialization
import flax.training.checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy
from flax.traverse_util import flatten_dict

import linen_core as nn
import linen_store
from linen_core.errors import StoreClosedError
from linen_store import SafetensorsStore, open_store
from linen_store.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    NotACheckpointError,
    RemotePathError,
)

TREE = {
    "params": {
        "Dense_0": {"kernel": jnp.arange(12.0).reshape(3, 4), "bias": jnp.ones(4, jnp.bfloat16)},
        "Embed": {"embedding": jnp.arange(6, dtype=jnp.int8).reshape(2, 3)},
    },
    "batch_stats": {"mean": jnp.zeros((2, 0)), "flag": jnp.array(True)},
}


FLAT = flatten_dict(TREE, sep=".")


def write_safetensors(path):
    safetensors.flax.save_file(FLAT, path / "model.safetensors")
    return path / "model.safetensors"


def write_sharded(path):
    names = sorted(FLAT)
    parts = {"a.safetensors": names[:2], "b.safetensors": names[2:]}
    for file, some in parts.items():
        safetensors.flax.save_file({name: FLAT[name] for name in some}, path / file)
    index = {"weight_map": {name: file for file, some in parts.items() for name in some}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path / "model.safetensors.index.json"


def write_msgpack(path):
    (path / "flax_model.msgpack").write_bytes(flax.serialization.to_bytes(TREE))
    return path / "flax_model.msgpack"


def write_npz(path):
    flat = {name: np.asarray(value) for name, value in flatten_dict(TREE, sep="/").items()}
    np.savez_compressed(path / "model.npz", **flat)
    return path / "model.npz"


def write_linen(path):
    linen_store.save(path / "c", TREE)
    return path / "c"


WRITERS = [write_safetensors, write_sharded, write_msgpack, write_npz, write_linen]


@pytest.mark.parametrize("write", WRITERS)
def test_each_format_gives_the_same_variables(tmp_path, same, write):
    store = open_store(write(tmp_path))
    assert same(store.snapshot(), TREE)
    assert store.spec("params", ("Dense_0", "bias")) == jax.ShapeDtypeStruct((4,), jnp.bfloat16)
    assert store.stats.leaves == 5
    store.close()
    with pytest.raises(StoreClosedError):
        store.collections()


@pytest.mark.parametrize("write", WRITERS[:-1])
def test_the_folder_will_do(tmp_path, same, write):
    write(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert same(open_store(tmp_path).snapshot(), TREE)


@pytest.mark.parametrize("write", WRITERS)
def test_root_dtype_and_sharding(tmp_path, write):
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    store = open_store(write(tmp_path), "params", dtype=jnp.float16, sharding=where)
    kernel = store.get("Dense_0", ("kernel",))
    assert (kernel.dtype, kernel.sharding) == (jnp.float16, where)
    assert store.get("Embed", ("embedding",)).dtype == jnp.int8
    assert store.spec("Dense_0", ("kernel",)).sharding == where


def test_restore_takes_any_format(tmp_path, same):
    model, x = nn.Dense(3), jnp.ones((1, 2))
    made = model.init(jax.random.key(0), x)
    path = tmp_path / "m.safetensors"
    safetensors.flax.save_file(flatten_dict(made, sep="."), path)
    variables, _ = linen_store.restore(model, path, x)
    assert same(variables, made)


def test_64_bit_numbers_are_never_cut(tmp_path):
    big = np.array([2**40, -1])
    safetensors.numpy.save_file({"a.b": big}, tmp_path / "m.safetensors")
    np.savez(tmp_path / "m.npz", **{"a/b": big})
    (tmp_path / "m.msgpack").write_bytes(flax.serialization.to_bytes({"a": {"b": big}}))
    for name in ("m.safetensors", "m.npz", "m.msgpack"):
        value = open_store(tmp_path / name).get("a", ("b",))
        assert (value.dtype, value.tolist()) == (np.int64, [2**40, -1])


def test_what_is_there_is_told_from_its_content(tmp_path, same):
    path = write_safetensors(tmp_path).rename(tmp_path / "model.bin")
    assert isinstance(open_store(path), SafetensorsStore)
    for name, raw, found in (
        ("empty", b"", "an empty file"),
        ("pickle", pickle.dumps({"a": 1}), "a pickle"),
        ("old pickle", pickle.dumps({"a": 1}, 2), "a pickle"),
        ("text", b"hello", "starts with b'hello'"),
        ("h5", b"\x89HDF", "starts with"),
    ):
        file = tmp_path / name
        file.write_bytes(raw)
        with pytest.raises(NotACheckpointError, match=found):
            open_store(file)
    with zipfile.ZipFile(tmp_path / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", "x" * 100)
    with pytest.raises(NotACheckpointError, match=r"a zip file with 'archive/data.pkl' in it"):
        open_store(tmp_path / "torch.pt")
    np.savez(tmp_path / "nothing.npz")
    assert open_store(tmp_path / "nothing.npz").collections() == ()
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotACheckpointError):
        open_store(tmp_path / "folder")
    with pytest.raises(CheckpointNotFoundError):
        open_store(tmp_path / "nothing")


@pytest.mark.parametrize(
    "path", ["hdfs://bucket/c", pathlib.Path("az://bucket/c"), "file://host/c"]
)
def test_addresses_of_other_kinds_are_refused(tmp_path, path):
    calls = [
        lambda: open_store(path),
        lambda: linen_store.CheckpointStore(path),
        lambda: SafetensorsStore(path),
        lambda: linen_store.restore(nn.Dense(1), path, jnp.ones((1, 1))),
        lambda: linen_store.save(path, TREE),
        lambda: linen_store.convert(write_linen(tmp_path), path),
    ]
    for call in calls:
        with pytest.raises(RemotePathError) as caught:
            call()
        assert caught.value.path == str(path)


def test_a_folder_whose_name_looks_like_an_address_is_opened(tmp_path, same, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model:").mkdir()
    linen_store.save(tmp_path / "model:" / "c", TREE)
    assert same(open_store("model:/c").snapshot(), TREE)


def test_options_reach_what_an_interrupted_save_left(tmp_path):
    write_linen(tmp_path).rename(tmp_path / ".c.linen-old")
    kernel = open_store(tmp_path / "c", dtype=jnp.float16).get("params", ("Dense_0", "kernel"))
    assert kernel.dtype == jnp.float16


@pytest.mark.parametrize("write", [write_safetensors, write_npz])
def test_a_file_replaced_while_open(tmp_path, write):
    path = write(tmp_path)
    store = open_store(path)
    other = path.with_name(f"new{path.suffix}")
    if write is write_npz:
        np.savez(other, **{"params/a": np.ones(1)})
    else:
        safetensors.flax.save_file({"params.a": jnp.ones(1)}, other)
    other.replace(path)
    with pytest.raises(CheckpointReplacedError):
        store.get("params", ("Dense_0", "kernel"))
