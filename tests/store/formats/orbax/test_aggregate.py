"""Checkpoints of early Orbax and of T5X."""

import pathlib
import shutil

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore

import linen_core as nn
import linen_store
from linen_store import CheckpointStore, FlaxMsgpackStore, open_store
from linen_store.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    UnsafeNameError,
)

X = jnp.ones((1, 3))


MODEL = nn.Dense(4)


SHIPPED = pathlib.Path(ocp.__file__).parent / "testing"


@pytest.fixture
def made():
    return MODEL.init(jax.random.key(0), X)


def write_zarr(folder, name, value):
    """An array as Orbax and T5X kept it: a folder of zarr, version 2."""
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder / name}/"}}
    kind = {"bfloat16": "bfloat16"}.get(str(value.dtype), value.dtype.str)
    spec["metadata"] = {"shape": value.shape, "chunks": value.shape, "dtype": kind}
    array = tensorstore.open(spec, create=True).result()
    array.write(np.asarray(value)).result()


def write_early_orbax(folder, made):
    """Placeholders in the file ``checkpoint``, arrays beside it, small values inside."""
    folder.mkdir()
    kernel, bias = made["params"]["kernel"], made["params"]["bias"]
    write_zarr(folder, "params.kernel", kernel)
    index = {
        "params": {"kernel": "PLACEHOLDER://params.kernel", "bias": np.asarray(bias)},
        "step": 7,
    }
    (folder / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(index))


def write_t5x(folder, made):
    """The specification that tensorstore opens, in place of each array."""
    folder.mkdir()
    target = {}
    for name, value in made["params"].items():
        write_zarr(folder, f"target.{name}", value)
        target[name] = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "file", "path": f"target.{name}"},
            "metadata": {"shape": list(value.shape)},
        }
    index = {"version": 3, "optimizer": {"target": target, "state": {"step": np.int32(5)}}}
    (folder / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(index))


@pytest.mark.parametrize("name", ["aggregate_some.checkpoint", "aggregate_all.checkpoint"])
def test_aggregate_files_that_orbax_comes_with(name):
    expected = ocp.PyTreeCheckpointer().restore(SHIPPED / name)
    store = open_store(SHIPPED / name)
    assert isinstance(store, CheckpointStore)
    found = store.snapshot()
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert store.spec("c", ("a",)).shape == expected["c"]["a"].shape


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_an_early_orbax_checkpoint_gives_what_orbax_gives(tmp_path, made, same):
    write_early_orbax(tmp_path / "c", made)
    store = open_store(tmp_path / "c")
    assert same(store.snapshot()["params"], made["params"])
    assert (store.get("step", ()), store.spec("params", ("bias",)).shape) == (7, (4,))
    theirs = ocp.PyTreeCheckpointer().restore(tmp_path / "c")
    assert np.array_equal(theirs["params"]["kernel"], made["params"]["kernel"])
    variables, _ = linen_store.restore(MODEL, tmp_path / "c", X)
    assert same(variables, made)
    half = open_store(tmp_path / "c", dtype=jnp.bfloat16).snapshot()["params"]
    assert {leaf.dtype for leaf in half.values()} == {np.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("path", ["", "checkpoint"])
def test_the_arrays_of_t5x_come_in_place_of_their_specifications(tmp_path, made, same, path):
    write_t5x(tmp_path / "checkpoint_5", made)
    root = {"params": ("optimizer", "target")}
    variables, _ = linen_store.restore(MODEL, tmp_path / "checkpoint_5" / path, X, root=root)
    assert same(variables, made)
    # The folder above holds steps, as that of flax.
    assert open_store(tmp_path, root).get("params", ("bias",)).shape == (4,)
    with pytest.raises(NotACheckpointError, match="an index of arrays that lie beside it"):
        FlaxMsgpackStore(tmp_path / "checkpoint_5" / "checkpoint")


def test_an_early_checkpoint_without_an_array_or_with_one_elsewhere(tmp_path, made):
    write_early_orbax(tmp_path / "c", made)
    shutil.rmtree(tmp_path / "c" / "params.kernel")
    with pytest.raises(DamagedCheckpointError, match=r"its .zarray is missing"):
        open_store(tmp_path / "c").get("params", ("kernel",))
    for name in ("..", "../../secret", "a/../../b"):
        raw = flax.serialization.msgpack_serialize({"p": {"w": f"PLACEHOLDER://{name}"}})
        (tmp_path / "c" / "checkpoint").write_bytes(raw)
        with pytest.raises(UnsafeNameError):
            open_store(tmp_path / "c")
    (tmp_path / "c" / "checkpoint").write_bytes(raw[:-3])
    with pytest.raises(DamagedCheckpointError):
        open_store(tmp_path / "c")
    # TensorFlow gives a text this name.
    (tmp_path / "c" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1"')
    with pytest.raises(NotACheckpointError):
        open_store(tmp_path / "c")
