"""Flat names: those of PyTorch, and maps to the names of variables."""

import flax.serialization
import flax.training.checkpoints
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy
from flax.traverse_util import flatten_dict

import linen_store
from linen_store import open_store
from linen_store.errors import (
    DamagedCheckpointError,
    KeyMapError,
    TorchNamesError,
    UnmappedNameError,
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


FLAT_WRITERS = [write_safetensors, write_npz]


def test_torch_names_are_refused_without_a_map(tmp_path):
    path = tmp_path / "m.safetensors"
    weights = {"fc.weight": np.ones((3, 2), np.float32), "fc.bias": np.zeros(3, np.float32)}
    safetensors.numpy.save_file(weights, path)
    with pytest.raises(TorchNamesError):
        open_store(path)
    names = {"fc.weight": ("params", "Dense.0", "kernel"), "fc.bias": None}
    with pytest.raises(TorchNamesError):  # the arrays are those of PyTorch still
        open_store(path, key_map=names)
    opened = open_store(path, key_map=names, layout="model")
    assert opened.children("params", ("Dense.0",)) == ("kernel",)
    store = open_store(path, key_map=lambda name: f"params.{name}", layout="model")
    assert store.children("params", ("fc",)) == ("bias", "weight")


@pytest.mark.parametrize("write", FLAT_WRITERS)
def test_two_names_for_one_variable_are_refused(tmp_path, write):
    path = write(tmp_path)
    for bad in (lambda name: "one", lambda name: ("a", "b") if "bias" in name else ("a",)):
        with pytest.raises(DamagedCheckpointError):
            open_store(path, key_map=bad)


@pytest.mark.parametrize("write", [write_msgpack, write_linen])
def test_a_key_map_where_names_are_not_flat(tmp_path, write):
    with pytest.raises(KeyMapError):
        open_store(write(tmp_path), key_map={})


def test_a_key_map_that_lacks_a_name(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.ones(1), b=np.ones(1))
    with pytest.raises(UnmappedNameError):
        open_store(tmp_path / "m.npz", key_map={"a": "params/a"})
