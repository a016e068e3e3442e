"""Following the advice of the errors of reading and restoring: the program then works."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_store
from linen_store import open_store, restore, serialization
from linen_store.errors import (
    AmbiguousKeysError,
    CheckpointReplacedError,
    FrozenDictSetError,
    HandlerExistsError,
    KeyMapError,
    MeshSizeError,
    RenameCollisionError,
    RenamePatternError,
    RestoreMismatchError,
    RngsMissingError,
    RootNotFoundError,
    StateShapeError,
    StoreDtypeError,
    StoreOptionsError,
    UnevenShardingError,
    UnmappedNameError,
)

X = jnp.ones((1, 3))
MODEL = nn.Dense(4)


@pytest.fixture
def made():
    return MODEL.init(jax.random.key(0), X)


@pytest.fixture
def saved(tmp_path, made):
    linen_store.save(tmp_path / "c", made)
    return tmp_path / "c"


def test_root(tmp_path, made, same):
    linen_store.save(tmp_path / "c", {"model": made["params"], "step": 3})
    for root in ("modle", "step"):
        with pytest.raises(
            RootNotFoundError, match=r"\{'params': \(\)\} where the file holds bare"
        ):
            open_store(tmp_path / "c", root)
    assert same(restore(MODEL, tmp_path / "c", X, root={"params": "model"}).variables, made)


def test_key_map(saved, tmp_path, made, same):
    with pytest.raises(KeyMapError, match="`rename=` of `restore`"):
        restore(nn.Dense(4), saved, X, key_map={"params.kernel": "params.kernel"})
    assert same(restore(MODEL, saved, X, rename={"^params/": "params/"}).variables, made)
    np.savez(
        tmp_path / "m.npz", a=np.ones((3, 4), np.float32), b=np.ones(4, np.float32), c=np.ones(1)
    )
    names = {"a": "params/kernel", "b": "params/bias"}
    with pytest.raises(UnmappedNameError, match="None leaves the array out"):
        restore(MODEL, tmp_path / "m.npz", X, key_map=names)
    restore(MODEL, tmp_path / "m.npz", X, key_map={**names, "c": None})


def test_options_of_a_path(saved, made, same):
    with pytest.raises(StoreOptionsError, match="pass them to `open_store` and its store here"):
        restore(MODEL, open_store(saved), X, item="state")
    assert same(restore(MODEL, open_store(saved, item="state"), X).variables, made)
    assert same(restore(MODEL, saved, X, item="state").variables, made)


def test_what_does_not_fit(saved):
    class Two(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(5, name="new")(nn.Dense(4, name="old")(x))

    with pytest.raises(RestoreMismatchError, match="init_missing=True"):
        restore(Two(), saved, X)
    rename = {"^params/kernel": "params/old/kernel", "^params/bias": "params/stray"}
    with pytest.raises(RngsMissingError, match="Pass a key or a dict of keys"):
        restore(Two(), saved, X, rename=rename, init_missing=True, strict=False)
    for rngs in (jax.random.key(0), {"params": jax.random.key(0)}):
        variables, _ = restore(
            Two(), saved, X, rename=rename, init_missing=True, strict=False, rngs=rngs
        )
        assert Two().apply(variables, X).shape == (1, 5)


def test_rename(saved, made, same):
    with pytest.raises(RenameCollisionError, match="or drop one with None"):
        restore(MODEL, saved, X, rename={"kernel|bias": "x"})
    rename = {"bias": None, "kernel|bias": "x"}
    restore({"params": {"x": made["params"]["kernel"]}}, saved, rename=rename)
    odd = {"params": {"kernel(": made["params"]["kernel"], "bias": made["params"]["bias"]}}
    with pytest.raises(RenamePatternError, match="name into a pattern that matches it exactly"):
        restore(MODEL, odd, X, rename={"kernel(": "kernel"})
    assert same(restore(MODEL, odd, X, rename={re.escape("kernel("): "kernel"}).variables, made)


def test_dtype(saved):
    with pytest.raises(StoreDtypeError, match="Read them unchanged and convert them yourself"):
        open_store(saved, dtype=jnp.int32)
    kernel = open_store(saved).get("params", ("kernel",))
    assert kernel.astype(jnp.int32).dtype == jnp.int32


def test_meshes(made):
    box = nn.Partitioned(jax.ShapeDtypeStruct((3, 4), jnp.float32), ("data", None))
    wanted = {"params": {"kernel": box}}
    with pytest.raises(UnevenShardingError, match="Change the rules or the mesh"):
        linen_store.plan(wanted, made, {"data": 2})
    linen_store.plan(wanted, made, {"data": 3})
    linen_store.plan(wanted, made, {"data": 2}, [("data", None)])
    with pytest.raises(MeshSizeError, match="Change the mesh or the number of processes"):
        linen_store.plan(wanted, made, {"data": 3}, processes=4)
    linen_store.plan(wanted, made, {"data": 3}, processes=3)


def test_a_replaced_checkpoint(saved, made):
    store = open_store(saved)
    linen_store.save(saved, made, overwrite=True)
    with pytest.raises(CheckpointReplacedError, match="Open the store again"):
        store.get("params", ("bias",))
    assert open_store(saved).get("params", ("bias",)).shape == (4,)


def test_states(made):
    other = serialization.to_bytes({"params": {**made["params"], "bias": jnp.ones(9)}})
    with pytest.raises(StateShapeError, match="or into None for the bare state"):
        serialization.from_bytes(made, other)
    assert serialization.from_bytes(None, other)["params"]["bias"].shape == (9,)
    with pytest.raises(AmbiguousKeysError, match="Rename one of them"):
        serialization.to_bytes({1: 0, "1": 1})
    with pytest.raises(HandlerExistsError, match="Pass override=True"):
        serialization.register_serialization_state(list, list, lambda _, state: state)
    frozen = linen_store.freeze({"a": 1})
    with pytest.raises(FrozenDictSetError, match=r"`copy\(\{'a': ...\}\)`"):
        frozen["a"] = 2
    assert frozen.copy({"a": 2})["a"] == 2
    assert frozen.unfreeze() == {"a": 1}
