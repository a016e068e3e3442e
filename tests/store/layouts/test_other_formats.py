"""The recorded models in files of flax, big_vision, vision_transformer, T5X and early Orbax."""

from pathlib import Path

import flax.serialization
import jax
import numpy as np
import pytest
import tensorstore

from layouts import linen_side, other_names
from linen_core.traverse_util import flatten_dict, unflatten_dict
from linen_store import convert, open_store, views
from linen_store.views.maps import load_map

HERE = Path(__file__).parent
MAPS = linen_side.MODELS / "maps"
SCANNED = pytest.mark.parametrize("scanned", [False, True], ids=["unrolled", "scanned"])


def check(name, path, map, *, scanned=False, root=None):
    """Restore a recorded model from another file, and compare its outputs with the recorded ones."""
    config, inputs, outputs = linen_side.recorded(HERE / name)
    model, variables = linen_side.loaded(
        name, config, path, inputs, scanned=scanned, map=map, root=root
    )
    found = linen_side.difference(model, variables, inputs, outputs)
    assert found < linen_side.TOLERANCE
    return variables


def arrays_and_config(name):
    config, _, _ = linen_side.recorded(HERE / name)
    return linen_side.arrays_of(HERE / name / "model.safetensors"), config


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("bert", "flax_model.msgpack"),
        ("gpt2", "flax_model.msgpack.index.json"),
        ("t5", "flax_model.msgpack"),
        ("vit", "flax_model.msgpack"),
    ],
)
@SCANNED
def test_files_of_flax_models_and_back(name, file, scanned, tmp_path):
    config, _, _ = linen_side.recorded(HERE / name)
    given = linen_side.map_of(name, config, flax=True)
    variables = check(name, HERE / name / file, given, scanned=scanned)
    if scanned:
        variables = load_map(linen_side.SCAN).inverse().apply(variables)
    convert(variables, tmp_path / "back.msgpack", map=given.inverse())
    with open_store(tmp_path / "back.msgpack") as back, open_store(HERE / name / file) as there:
        jax.tree.map(np.testing.assert_array_equal, back.snapshot(), there.snapshot())


@SCANNED
@pytest.mark.parametrize("compressed", [False, True])
def test_files_of_vision_transformer_and_back(scanned, compressed, tmp_path):
    arrays = other_names.vision_transformer(*arrays_and_config("vit"))
    (np.savez_compressed if compressed else np.savez)(tmp_path / "vit.npz", **arrays)
    given = load_map(MAPS / "vit_vision_transformer.toml")
    variables = check("vit", tmp_path / "vit.npz", given, scanned=scanned)
    if not scanned:
        convert(variables, tmp_path / "back.npz", map=given.inverse())
        with np.load(tmp_path / "back.npz") as back:
            assert sorted(back) == sorted(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], array)


@SCANNED
def test_files_of_big_vision_and_back(scanned, tmp_path):
    arrays = other_names.big_vision(*arrays_and_config("vit"))
    np.savez(tmp_path / "vit.npz", **arrays)
    given = load_map(MAPS / "vit_big_vision.toml")
    variables = check("vit", tmp_path / "vit.npz", given, scanned=scanned)
    if not scanned:
        convert(variables, tmp_path / "back.npz", map=given.inverse())
        with np.load(tmp_path / "back.npz") as back:
            assert sorted(back) == sorted(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(back[name], array)


def test_scanned_files_of_big_vision(tmp_path):
    """With `scan=True`, big_vision has one encoderblock whose arrays have a first axis for the blocks."""
    arrays, config = arrays_and_config("vit")
    unrolled = unflatten_dict(other_names.big_vision(arrays, config), sep="/")
    stacked = views.stack(unrolled, r"/encoderblock_(\d+)/", "/encoderblock/")
    convert(stacked, tmp_path / "vit.npz")
    with open_store(tmp_path / "vit.npz") as store:
        apart = views.unstack(store, "/encoderblock/", "/encoderblock_{}/")
        given = load_map(MAPS / "vit_big_vision.toml")
        _, inputs, outputs = linen_side.recorded(HERE / "vit")
        model = linen_side.model_of("vit", config)
        found = linen_side.difference(model, given.apply(apart), inputs, outputs)
    assert found < linen_side.TOLERANCE


def write_zarr(folder, value):
    """An array as Orbax and T5X kept it: a folder of zarr, version 2."""
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder}/"}}
    spec["metadata"] = {"shape": value.shape, "chunks": value.shape, "dtype": value.dtype.str}
    array = tensorstore.open(spec, create=True).result()
    array.write(np.asarray(value)).result()


def write_t5x(folder, arrays, *, is_early):
    """A folder of T5X: the matrices in folders of zarr, small arrays in the file `checkpoint`."""
    target = {}
    for name, value in arrays.items():
        target[name] = value
        if value.ndim > 1:
            place = f"target.{name.replace('/', '.')}"
            write_zarr(folder / place, value)
            target[name] = {
                "driver": "zarr",
                "dtype": "float32",
                "kvstore": {"driver": "file", "path": place},
                "metadata": {"shape": list(value.shape), "chunks": list(value.shape)},
            }
    tree = {"target": unflatten_dict(target, sep="/"), "state": {"step": np.int32(5)}}
    index = {"version": 3, "optimizer": tree} if is_early else {"version": 3, **tree}
    (folder / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(index))


@SCANNED
@pytest.mark.parametrize("is_early", [False, True])
def test_folders_of_t5x(is_early, scanned, tmp_path):
    folder = tmp_path / "checkpoint_5"
    folder.mkdir()
    write_t5x(folder, other_names.t5x(*arrays_and_config("t5")), is_early=is_early)
    root = {"target": ("optimizer", "target") if is_early else ("target",)}
    check("t5", folder, load_map(MAPS / "t5_t5x.toml"), scanned=scanned, root=root)


@SCANNED
@pytest.mark.parametrize("placeholders", [False, True])
def test_early_orbax_files(scanned, placeholders, tmp_path):
    """A train state with the names of the flax model of transformers, all in one file or with arrays beside it."""
    with open_store(HERE / "bert" / "flax_model.msgpack") as store:
        params = flatten_dict(store.snapshot(), sep=".")
    for name, value in params.items():
        if placeholders and np.ndim(value) > 1:
            write_zarr(tmp_path / f"params.{name}", np.asarray(value))
            params[name] = f"PLACEHOLDER://params.{name}"
    state = {"step": 7, "params": unflatten_dict(params, sep="."), "opt_state": {}}
    (tmp_path / "checkpoint").write_bytes(flax.serialization.msgpack_serialize(state))
    given = load_map(MAPS / "bert_flax.toml")
    check("bert", tmp_path, given, scanned=scanned, root="params")
