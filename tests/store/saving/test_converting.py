"""`convert`: every format that it writes, what each cannot hold, and what it takes."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_store
from linen_store import convert, open_store, serialization
from linen_store.errors import (
    CheckpointExistsError,
    DottedNameError,
    NameCollisionError,
    UncompressedFormatError,
    UnencodableNameError,
    UnknownFormatError,
    UnsupportedLeafError,
)

ARRAYS = {
    "params": {
        "w": jnp.arange(6.0).reshape(2, 3),
        "b": jnp.ones(2, jnp.bfloat16),
        "e": jnp.ones((0, 2)),
        "n": {"i": jnp.arange(3, dtype=jnp.int8), "z": jnp.array(1 + 2j)},
    },
    "stats": {"flag": jnp.array([True, False])},
}


@pytest.mark.parametrize("ending", ["npz", "msgpack", "safetensors"])
@pytest.mark.parametrize("named", [True, False], ids=["by its ending", "by its name"])
def test_a_file_of_that_format_is_written(tmp_path, same, ending, named):
    linen_store.save(tmp_path / "c", ARRAYS)
    target = tmp_path / ("m" if named else f"m.{ending}")
    convert(tmp_path / "c", target, ending if named else None)
    assert target.is_file()
    with open_store(target) as store:
        kind = type(store).__name__
        assert kind == {"npz": "NpzStore", "msgpack": "FlaxMsgpackStore"}.get(ending, kind)
        snapshot = store.snapshot()
    # The formats have an order of their own.
    assert same(jax.tree.map(jnp.asarray, snapshot), ARRAYS)
    assert sorted(os.listdir(tmp_path)) == ["c", target.name]


def test_npz_is_what_numpy_reads(tmp_path):
    convert(ARRAYS, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as found:
        assert found["params/w"].tolist() == [[0, 1, 2], [3, 4, 5]]
        assert found["params/n/i"].dtype == np.int8


def test_npz_is_compressed_where_asked(tmp_path, same):
    tree = {"p": {"w": jnp.zeros((200, 200))}}
    convert(tree, tmp_path / "a.npz")
    convert(tree, tmp_path / "b.npz", compression=True)
    assert (tmp_path / "b.npz").stat().st_size * 10 < (tmp_path / "a.npz").stat().st_size
    assert same(open_store(tmp_path / "b.npz").snapshot(), tree)


def test_msgpack_has_the_bytes_of_flax(tmp_path):
    tree = {
        "params": {"a.b/c": np.arange(3), "empty": {}, "none": None, "name": "x", "t": (1, 2.5)},
        "none": {},
    }
    convert(tree, tmp_path / "m.msgpack")
    assert (tmp_path / "m.msgpack").read_bytes() == serialization.to_bytes(tree)


@pytest.mark.parametrize("wrap", [dict, nn.MemoryStore, linen_store.freeze])
@pytest.mark.parametrize("target", ["c", "m.npz", "m.msgpack", "m.safetensors"])
def test_takes_what_restore_takes(tmp_path, same, wrap, target):
    convert(wrap(ARRAYS), tmp_path / target)
    assert same(jax.tree.map(jnp.asarray, open_store(tmp_path / target).snapshot()), ARRAYS)


@pytest.mark.parametrize("target", ["m.npz", "m.msgpack", "m.safetensors"])
def test_numbers_and_integer_keys(tmp_path, target):
    convert({"p": {0: 2.5, 1: np.float32(3)}}, tmp_path / target)
    found = open_store(tmp_path / target).snapshot()["p"]
    assert [float(found[name]) for name in ("0", "1")] == [2.5, 3]
    with pytest.raises(NameCollisionError):
        convert({"p": {0: 2.5, "0": 1}}, tmp_path / "other", target.partition(".")[2])


@pytest.mark.parametrize(
    ("format", "tree", "error"),
    [
        ("npz", {"a/b": {"c": np.ones(1)}}, DottedNameError),
        ("npz", {"a\0b": {"c": np.ones(1)}}, DottedNameError),
        ("npz", {"a": {"": np.ones(1)}}, DottedNameError),
        ("npz", {"a": {"k": jax.random.key(0)}}, UnsupportedLeafError),
        ("npz", {"a": {"s": "x"}}, UnsupportedLeafError),
        ("npz", {"a": {"n": None}}, UnsupportedLeafError),
        ("npz", {"a": {"f": jnp.ones(2, jnp.float8_e5m2)}}, UnsupportedLeafError),
        ("npz", {"a": {"f": jnp.ones(2, jnp.int4)}}, UnsupportedLeafError),
        ("npz", {"a": {"m": np.ma.masked_array([1, 2], [0, 1])}}, UnsupportedLeafError),
        ("msgpack", {"a": {"k": jax.random.key(0)}}, UnsupportedLeafError),
        ("msgpack", {"a": {"n": 2**70}}, UnsupportedLeafError),
        ("msgpack", {"a": {"m": np.ma.masked_array([1, 2], [0, 1])}}, UnsupportedLeafError),
        ("msgpack", {"a": {"b\ud800": np.ones(1)}}, UnencodableNameError),
        ("npz", {"a": {"b\ud800": np.ones(1)}}, UnencodableNameError),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, format, tree, error):
    with pytest.raises(error):
        convert(tree, tmp_path / "m", format)
    assert os.listdir(tmp_path) == []


def test_the_advice_for_what_a_format_cannot_hold_works(tmp_path, same):
    tree = {"a": {"k": jax.random.key(0)}}
    for ending in ("npz", "safetensors", "msgpack"):
        with pytest.raises(UnsupportedLeafError, match=f"{ending} can hold.* save as an Orbax"):
            convert(tree, tmp_path / "m", ending)
    convert(tree, tmp_path / "c", "orbax")
    assert same(open_store(tmp_path / "c").snapshot(), tree)
    convert({"a": {"k": jax.random.key_data(tree["a"]["k"])}}, tmp_path / "m.npz")
    assert open_store(tmp_path / "m.npz").spec("a", ("k",)).shape == (2,)
    convert({"a/b": np.ones(1)}, tmp_path / "d", "orbax")
    assert open_store(tmp_path / "d").collections() == ("a/b",)


@pytest.mark.parametrize("ending", [".pt", ".H5", ".keras", ".pkl", ".npy"])
def test_an_ending_of_another_program_is_refused_and_the_advice_works(tmp_path, ending):
    with pytest.raises(UnknownFormatError) as caught:
        convert(ARRAYS, tmp_path / f"m{ending}")
    assert caught.value.found == ending.lower()
    assert os.listdir(tmp_path) == []
    convert(ARRAYS, tmp_path / f"m{ending}", "npz")
    assert open_store(tmp_path / f"m{ending}").collections() == ("params", "stats")


@pytest.mark.parametrize("format", ["msgpack", "safetensors"])
def test_compression_of_a_format_without_any_is_refused_and_the_advice_works(tmp_path, format):
    with pytest.raises(UncompressedFormatError) as caught:
        convert(ARRAYS, tmp_path / "m", format, compression=True)
    assert os.listdir(tmp_path) == []
    for other in caught.value.compressible:
        convert(ARRAYS, tmp_path / other, other, compression=True)
    convert(ARRAYS, tmp_path / "m", format)
    assert sorted(os.listdir(tmp_path)) == ["m", "npz", "orbax"]


@pytest.mark.parametrize("ending", ["npz", "msgpack", "safetensors"])
def test_a_file_is_replaced_only_when_asked(tmp_path, ending):
    target = tmp_path / f"m.{ending}"
    convert({"a": {"b": np.ones(1)}}, target)
    before = target.read_bytes()
    with pytest.raises(CheckpointExistsError):
        convert(ARRAYS, target)
    assert target.read_bytes() == before
    convert(ARRAYS, target, overwrite=True)
    assert open_store(target).collections() == ("params", "stats")
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.parametrize("target", ["c", "m.npz", "m.msgpack", "m.safetensors"])
def test_progress(tmp_path, target):
    tree = {"p": {str(number): np.ones(100) for number in range(4)}, "s": {"t": (1.0, np.ones(2))}}
    told = []
    convert(tree, tmp_path / target, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (3224, 3224)
    assert len(told) >= 5
