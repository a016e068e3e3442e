"""Names that are odd, of files as of leaves: each legal one works everywhere, the rest is refused at once."""

import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import linen_core as nn
import linen_store
from linen_store import cli, serialization
from linen_store.errors import (
    DamagedCheckpointError,
    UnencodableNameError,
    UnsupportedLeafError,
    UnwritablePathError,
)

TREE = {"params": {"kernel": jnp.arange(12.0).reshape(4, 3), "bias": jnp.ones(3)}}
ODD = [
    "run[best]",
    "a*b?",
    "{1,2} %20#é",
    "a\\b",
    "\U0001f600" * 60,  # 240 bytes
    os.fsdecode(b"not\xffutf-8"),
]
posix = pytest.mark.skipif(sys.platform != "linux", reason="file names that Linux alone has")


@posix
@pytest.mark.parametrize("name", ODD)
def test_a_checkpoint_below_an_odd_name(tmp_path, same, name):
    path = tmp_path / name / name
    linen_store.save(path, TREE)
    linen_store.save(path, TREE, overwrite=True)
    assert os.listdir(tmp_path / name) == [name]
    assert (path / "state" / "manifest.ocdbt").is_file()
    assert same(linen_store.open_store(path).snapshot(), TREE)
    restored = linen_store.restore(nn.Dense(3), path, jnp.ones((1, 4))).variables
    assert same(restored, TREE)
    assert cli.main(["verify", os.fspath(path)]) == 0
    linen_store.convert(path, tmp_path / name / "m.safetensors")
    linen_store.convert(tmp_path / name / "m.safetensors", path, overwrite=True)
    assert same(linen_store.CheckpointStore(path).snapshot(), TREE)


@posix
@pytest.mark.parametrize("name", ODD)
def test_files_of_odd_names(tmp_path, same, name):
    tree = {"params": {"w": jnp.arange(3.0)}}
    stem = tmp_path / name[:50]
    linen_store.convert(nn.MemoryStore(tree), f"{stem}.safetensors")
    with open(f"{stem}.npz", "wb") as stream:
        np.savez(stream, **{"params/w": tree["params"]["w"]})
    with open(f"{stem}.msgpack", "wb") as stream:
        stream.write(serialization.to_bytes(tree))
    for ending in ("safetensors", "npz", "msgpack"):
        assert same(linen_store.open_store(f"{stem}.{ending}").snapshot(), tree)


@posix
@pytest.mark.parametrize("name", ["run[best]", "a*b?", "%20 #"])
def test_folders_by_step_of_odd_names(tmp_path, same, name):
    folder = tmp_path / name
    with ocp.CheckpointManager(folder) as manager:
        for step in (1, 2):
            manager.save(step, args=ocp.args.StandardSave(TREE))
    assert same(linen_store.CheckpointStore(folder).snapshot(), TREE)
    assert same(linen_store.open_store(folder, step=1).snapshot(), TREE)


def test_of_several_databases_that_were_not_merged_none_is_chosen(tmp_path):
    linen_store.save(tmp_path / "c", TREE)
    tree = tmp_path / "c" / "state"
    (tree / "_linen_checksums.json").unlink()
    (tree / "manifest.ocdbt").unlink()
    (tree / "ocdbt.process_1").mkdir()
    with pytest.raises(
        DamagedCheckpointError, match=r"manifest.ocdbt is damaged \(it is missing\)"
    ):
        linen_store.CheckpointStore(tmp_path / "c")


@posix
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a" * 256, "a name in it has 256 bytes, the file system takes 255"),
        ("a" * 256 + "/model", "a name in it has 256 bytes, the file system takes 255"),
        ("/".join(["a" * 200] * 30), "it is too long: the folder may have 3796 bytes at most"),
        ("a\0b", "there is a null character in it"),
        ("a\ud800", "it cannot be encoded: surrogates not allowed"),
    ],
)
def test_a_path_that_cannot_be_is_refused_before_anything_is_written(tmp_path, name, reason):
    for write in (
        linen_store.save,
        lambda path, tree: linen_store.convert(nn.MemoryStore(tree), path, "safetensors"),
    ):
        with pytest.raises(UnwritablePathError) as caught:
            write(f"{tmp_path}/{name}", TREE)
        assert caught.value.reason == reason
        assert os.listdir(tmp_path) == []


@posix
def test_the_longest_name_is_fine(tmp_path, same):
    for target in ("a" * 255, "b" * 243 + ".safetensors"):
        linen_store.convert(nn.MemoryStore(TREE), tmp_path / target)
        assert same(linen_store.open_store(tmp_path / target).snapshot(), TREE)


def test_leaves_that_cannot_be_written_as_text(tmp_path):
    tree = {"params": {"a\ud800": np.ones(2)}}
    with pytest.raises(UnencodableNameError):
        linen_store.save(tmp_path / "c", tree)
    with pytest.raises(UnencodableNameError):
        linen_store.convert(nn.MemoryStore(tree), tmp_path / "m.safetensors")
    with pytest.raises(UnsupportedLeafError, match="half a surrogate pair"):
        linen_store.save(tmp_path / "c", {"params": {"a": "\ud800"}})
    assert os.listdir(tmp_path) == []


def test_masked_arrays_are_refused(tmp_path):
    masked = np.ma.masked_array(np.ones(1 << 19, np.float32), np.arange(1 << 19) % 2)
    text = "found a masked numpy array, whose mask would be lost, expected an array"
    with pytest.raises(UnsupportedLeafError, match=text):
        linen_store.save(tmp_path / "c", {"params": {"w": masked}})
    for target in ("d", "m.safetensors"):
        with pytest.raises(UnsupportedLeafError, match=text):
            linen_store.convert(nn.MemoryStore({"params": {"w": masked}}), tmp_path / target)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_arrays_of_no_keys_stay_keys(tmp_path, same, impl):
    tree = {"state": {"keys": jax.random.split(jax.random.key(0, impl=impl), 0)}}
    linen_store.save(tmp_path / "c", tree)
    store = linen_store.CheckpointStore(tmp_path / "c")
    assert store.spec("state", ("keys",)).dtype == tree["state"]["keys"].dtype
    assert same(store.snapshot(), tree)
