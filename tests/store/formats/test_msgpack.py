"""The MessagePack of flax: whole, in parts, in chunks, and damaged."""

import json

import flax.serialization
import flax.training.checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.flax
import safetensors.numpy
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict, unflatten_dict

import linen_core as nn
import linen_store
from linen_store import FlaxMsgpackStore, open_store
from linen_store.errors import (
    AmbiguousCheckpointError,
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


def test_only_the_msgpack_store_is_not_lazy(tmp_path):
    lazy = {write.__name__: open_store(write(tmp_path)).capabilities.lazy for write in WRITERS}
    assert [name for name, is_lazy in lazy.items() if not is_lazy] == ["write_msgpack"]


def test_flax_train_states(tmp_path, same):
    params = {"w": jnp.arange(3.0)}
    state = TrainState.create(apply_fn=None, params=params, tx=optax.adam(0.1))
    (tmp_path / "checkpoint_7").write_bytes(flax.serialization.to_bytes(state))
    (tmp_path / "checkpoint_12").write_bytes(flax.serialization.to_bytes(state.replace(step=12)))
    store = open_store(tmp_path)
    assert isinstance(store, FlaxMsgpackStore)
    assert store.get("step", ()) == 12
    assert same(store.snapshot("params")["params"], params)
    assert same(store.get("opt_state", ("0", "mu", "w")), state.opt_state[0].mu["w"])
    assert open_store(tmp_path, step=7).get("step", ()) == 0
    with pytest.raises(AmbiguousCheckpointError):
        open_store(tmp_path, step=8)


def test_damaged_msgpack(tmp_path):
    path = write_msgpack(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedCheckpointError) as caught:
        open_store(path)
    assert caught.value.file == str(path)


def test_keys_of_msgpack_that_are_the_same_as_names(tmp_path):
    (tmp_path / "m.msgpack").write_bytes(b"\x82\x01\x02\xa11\x03")
    with pytest.raises(DamagedCheckpointError, match="are not different names"):
        FlaxMsgpackStore(tmp_path / "m.msgpack")


X = jnp.ones((1, 3))


MODEL = nn.Dense(4)


@pytest.fixture
def made():
    return MODEL.init(jax.random.key(0), X)


def test_arrays_that_several_processes_of_flax_wrote_are_refused(tmp_path):
    raw = flax.serialization.msgpack_serialize({"params": {"w": "//GDAPlaceholder:params/w"}})
    (tmp_path / "checkpoint_1").write_bytes(raw)
    with pytest.raises(NotACheckpointError) as caught:
        open_store(tmp_path)
    assert "several processes wrote elsewhere" in caught.value.found


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


@pytest.mark.parametrize("nested", [True, False])
def test_msgpack_in_parts(tmp_path, made, same, nested):
    index = write_parts(tmp_path, made, nested=nested)
    for path in (tmp_path, index):
        store = open_store(path)
        assert isinstance(store, FlaxMsgpackStore)
        assert same(store.snapshot(), made)
    variables, _ = linen_store.restore(MODEL, tmp_path, X)
    assert same(variables, made)


def test_parts_that_do_not_fit_their_index(tmp_path, made):
    index = write_parts(tmp_path, made)
    fields = json.loads(index.read_text())
    first, second = sorted(set(fields["weight_map"].values()))
    for placed in (
        {**fields["weight_map"], "params/extra": first},
        {"params/bias": second, "params/kernel": first},
    ):
        index.write_text(json.dumps({"weight_map": placed}))
        with pytest.raises(DamagedCheckpointError):
            open_store(tmp_path)
    index.write_text(json.dumps({"weight_map": {"params/bias": "../x.msgpack"}}))
    with pytest.raises(UnsafeNameError):
        open_store(tmp_path)
    index.write_text(json.dumps({"weight_map": {"params/bias": "gone.msgpack"}}))
    with pytest.raises(CheckpointNotFoundError):
        open_store(tmp_path)


def test_arrays_that_flax_cut_into_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 64)
    tree = {"params": {"w": np.arange(100.0).reshape(10, 10)}}
    write_parts(tmp_path, {**tree, "z": {"b": np.ones(3)}})
    assert np.array_equal(open_store(tmp_path).get("params", ("w",)), tree["params"]["w"])
