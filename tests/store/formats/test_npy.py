"""Folders of ``.npy`` files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import linen_core as nn
import linen_store
from linen_store import NpyFolderStore, open_store
from linen_store.errors import (
    CheckpointNotFoundError,
    DamagedCheckpointError,
    NotACheckpointError,
    TorchNamesError,
)

X = jnp.ones((1, 3))


MODEL = nn.Dense(4)


@pytest.fixture
def made():
    return MODEL.init(jax.random.key(0), X)


def write_npy(folder, tree):
    for name, value in flatten_dict(tree, sep="/").items():
        file = folder / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.asarray(value))


def test_a_folder_of_npy_files(tmp_path, made, same):
    write_npy(tmp_path / "c", made)
    store = open_store(tmp_path / "c")
    assert isinstance(store, NpyFolderStore)
    assert same(store.snapshot(), made)
    assert linen_store.restore(MODEL, tmp_path / "c", X).report.bytes == 64
    (tmp_path / "c" / "params" / "bias.npy").unlink()
    with pytest.raises(linen_store.errors.CheckpointReplacedError):
        store.get("params", ("kernel",))


def test_npy_files_of_every_order_kind_and_size(tmp_path):
    big = np.arange(6.0).reshape(2, 3)
    tree = {
        "fortran": np.asfortranarray(big),
        "swapped": big.astype(big.dtype.newbyteorder("S")),
        "half": np.arange(3, dtype=jnp.bfloat16),
        "scalar": np.float32(3),
        "empty": np.zeros((0, 2), np.int8),
    }
    write_npy(tmp_path, {"p": tree})
    found = open_store(tmp_path).snapshot()["p"]
    for name, value in tree.items():
        native = value.dtype.newbyteorder("=") if name != "half" else jnp.bfloat16
        assert (name, found[name].dtype, found[name].tolist()) == (name, native, value.tolist())
    named = open_store(tmp_path, key_map=lambda name: name.replace("p/", "params/x/"))
    assert named.children("params") == ("x",)


def test_npy_files_that_are_refused(tmp_path):
    np.save(tmp_path / "w.npy", np.array([print], dtype=object))
    with pytest.raises(NotACheckpointError, match=r"pickled objects in 'w.npy'"):
        open_store(tmp_path)
    np.save(tmp_path / "w.npy", np.arange(100))
    raw = (tmp_path / "w.npy").read_bytes()
    (tmp_path / "w.npy").write_bytes(raw[:-8])
    with pytest.raises(DamagedCheckpointError, match="does not have the size"):
        open_store(tmp_path)
    (tmp_path / "w.npy").unlink()
    np.save(tmp_path / "fc.weight.npy", np.ones((2, 2)))
    with pytest.raises(TorchNamesError):
        open_store(tmp_path, key_map={"fc.weight": ("params", "kernel")})
    store = open_store(tmp_path, key_map={"fc.weight": ("params", "kernel")}, layout="model")
    assert store.get("params", ("kernel",)).shape == (2, 2)
    with pytest.raises(NotACheckpointError, match="a folder without any file of numpy"):
        NpyFolderStore(_empty(tmp_path))
    with pytest.raises(CheckpointNotFoundError):
        NpyFolderStore(tmp_path / "nothing")


def _empty(folder):
    (folder / "nothing here").mkdir()
    return folder / "nothing here"
