"""Folders of files, by item and by step."""

import json

import flax.serialization
import flax.training.checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.flax
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

import linen_core as nn
from linen_store import FlaxMsgpackStore, NpzStore, open_store
from linen_store.errors import (
    AmbiguousCheckpointError,
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


def write_npz(path):
    flat = {name: np.asarray(value) for name, value in flatten_dict(TREE, sep="/").items()}
    np.savez_compressed(path / "model.npz", **flat)
    return path / "model.npz"


@pytest.fixture
def legacy(request):
    before = flax.config.flax_use_orbax_checkpointing
    flax.config.update("flax_use_orbax_checkpointing", not request.param)
    yield request.param
    flax.config.update("flax_use_orbax_checkpointing", before)


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon")  # what is read was written so
@pytest.mark.parametrize("legacy", [True, False], ids=["bytes", "orbax"], indirect=True)
def test_flax_training_checkpoints(tmp_path, same, legacy):
    options = {} if legacy else {"orbax_checkpointer": ocp.PyTreeCheckpointer()}
    for step in (1, 20):
        flax.training.checkpoints.save_checkpoint(
            tmp_path, {"params": {"w": jnp.full(2, step)}}, step, keep=5, **options
        )
    assert same(open_store(tmp_path).snapshot(), {"params": {"w": jnp.full(2, 20)}})
    assert isinstance(open_store(tmp_path), FlaxMsgpackStore) is legacy


@pytest.mark.parametrize("options", [{"step": 1}, {"item": "a"}, {"item": "a", "step": 1}])
@pytest.mark.parametrize("folder", [False, True])
def test_a_choice_where_there_is_none_is_not_ignored(tmp_path, options, folder):
    path = write_safetensors(tmp_path)
    with pytest.raises(AmbiguousCheckpointError):
        open_store(tmp_path if folder else path, **options)


def test_a_stray_file_beside_steps_is_not_the_checkpoint(tmp_path, same):
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(1, args=ocp.args.StandardSave({"params": {"w": jnp.ones(2)}}))
    np.savez(tmp_path / "figures.npz", loss=np.ones(3))
    assert open_store(tmp_path).collections() == ("params",)
    assert open_store(tmp_path, step=1).collections() == ("params",)
    assert open_store(tmp_path, item="figures.npz").collections() == ("loss",)


def test_several_files_are_ambiguous(tmp_path):
    write_safetensors(tmp_path)
    write_npz(tmp_path)
    with pytest.raises(AmbiguousCheckpointError) as caught:
        open_store(tmp_path)
    assert caught.value.choices == ("model.npz", "model.safetensors")
    assert isinstance(open_store(tmp_path, item="model.npz"), NpzStore)
    with pytest.raises(AmbiguousCheckpointError):
        open_store(tmp_path, item="model.msgpack")


X = jnp.ones((1, 3))


MODEL = nn.Dense(4)


@pytest.fixture
def made():
    return MODEL.init(jax.random.key(0), X)


def write_parts(folder, tree, *, nested=True):
    """A model in parts as transformers writes it, nested; or flat, as some do."""
    flat = flatten_dict(tree, sep="/")
    names = sorted(flat)
    placed = {}
    for number, some in enumerate((names[:1], names[1:]), 1):
        file = f"flax_model-0000{number}-of-00002.msgpack"
        part = {name: flat[name] for name in some}
        part = unflatten_dict(part, sep="/") if nested else part
        (folder / file).write_bytes(flax.serialization.to_bytes(part))
        placed |= dict.fromkeys(some, file)
    index = folder / "flax_model.msgpack.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": placed}))
    return index


def test_a_folder_of_parts_and_of_one_file_is_ambiguous(tmp_path, made):
    write_parts(tmp_path, made)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(AmbiguousCheckpointError) as caught:
        open_store(tmp_path)
    assert caught.value.choices == ("flax_model.msgpack.index.json", "model.safetensors.index.json")
    store = open_store(tmp_path, item="flax_model.msgpack.index.json")
    assert store.collections() == ("params",)
