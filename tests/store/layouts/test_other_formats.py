"""The recorded models in files of flax, big_vision, vision_transformer, T5X and early Orbax."""

from pathlib import Path

import flax.serialization
import jax
import numpy as np
import pytest
import tensorstore

from layouts import linen_side, other_names
from linen_core.traverse_util import flatten_dict, unflatten_dict
from linen_store import convert, open_store, restore, views
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


def check_back(variables, map, expected, *, scanned=False):
    """Compare the arrays of another file, joined by slashes, with those that the variables become."""
    unrolled = load_map(linen_side.SCAN).inverse().apply(variables) if scanned else variables
    found = flatten_dict(map.inverse().apply(unrolled).snapshot(), sep="/")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


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
    check_back(variables, given, arrays, scanned=scanned)


@SCANNED
def test_files_of_big_vision_and_back(scanned, tmp_path):
    arrays = other_names.big_vision(*arrays_and_config("vit"))
    np.savez(tmp_path / "vit.npz", **arrays)
    given = load_map(MAPS / "vit_big_vision.toml")
    variables = check("vit", tmp_path / "vit.npz", given, scanned=scanned)
    check_back(variables, given, arrays, scanned=scanned)


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
        variables = restore(model, apart, **inputs, map=given).variables
        back = views.inverse(apart, given.inverse().apply(variables)).snapshot()
    assert found < linen_side.TOLERANCE
    jax.tree.map(np.testing.assert_array_equal, back, stacked.snapshot())


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
    arrays = other_names.t5x(*arrays_and_config("t5"))
    write_t5x(folder, arrays, is_early=is_early)
    root = {"target": ("optimizer", "target") if is_early else ("target",)}
    given = load_map(MAPS / "t5_t5x.toml")
    variables = check("t5", folder, given, scanned=scanned, root=root)
    expected = {f"target/{name}": array for name, array in arrays.items()}
    check_back(variables, given, expected, scanned=scanned)


def test_scanned_folders_of_t5x_and_back(tmp_path):
    """With `scan_layers=True`, T5X has one module `layers` whose arrays have the axis 1 for the blocks."""
    arrays, config = arrays_and_config("t5")
    stacked = views.Map(
        (
            views.Rule(
                "{side:encoder|decoder}/layers_{i}/{name:**}",
                "{side}/layers/{name}",
                ("stack i 1",),
            ),
        ),
        keep=("{name:**}",),
    ).apply(unflatten_dict(other_names.t5x(arrays, config), sep="/"))
    scanned = flatten_dict(stacked.snapshot(), sep="/")
    size = config["d_model"]
    assert scanned["encoder/layers/mlp/wo/kernel"].shape == (
        config["d_ff"],
        config["num_layers"],
        size,
    )
    assert scanned["decoder/layers/pre_mlp_layer_norm/scale"].shape[0] == size
    write_t5x(tmp_path, scanned, is_early=False)
    unscanned, given = load_map(MAPS / "t5x_scanned.toml"), load_map(MAPS / "t5_t5x.toml")
    _, inputs, outputs = linen_side.recorded(HERE / "t5")
    model = linen_side.model_of("t5", config)
    with open_store(tmp_path, {"target": ("target",)}, map=unscanned) as store:
        variables = restore(model, store, **inputs, map=given).variables
    assert linen_side.difference(model, variables, inputs, outputs) < linen_side.TOLERANCE
    back = unscanned.inverse().apply(given.inverse().apply(variables))
    found = flatten_dict(back.snapshot()["target"], sep="/")
    assert found.keys() == scanned.keys()
    for name, array in scanned.items():
        np.testing.assert_array_equal(found[name], array)


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
    variables = check("bert", tmp_path, given, scanned=scanned, root="params")
    with open_store(HERE / "bert" / "flax_model.msgpack") as store:
        check_back(variables, given, flatten_dict(store.snapshot(), sep="/"), scanned=scanned)
