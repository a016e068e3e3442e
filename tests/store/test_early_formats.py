"""What older programs wrote: early Orbax, T5X, MessagePack in parts, folders of numpy; and what is not read."""

import json
import pathlib
import shutil

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore
from flax.traverse_util import flatten_dict, unflatten_dict

import linen_core as nn
import linen_store
from linen_store import CheckpointStore, FlaxMsgpackStore, NpyFolderStore, open_store
from linen_store.errors import (
    AmbiguousCheckpointError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    NotACheckpointError,
    TorchNamesError,
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


FOREIGN = [
    ("model.bin", b"\x80\x02}q\x00.", "a pickle, which would run code", "`pickle.load`"),
    ("model.pt", b"\x80\x04\x95.", "a pickle, which would run code", "`torch.load("),
    ("model.h5", b"\x89HDF\r\n\x1a\n" + bytes(8), "an HDF5 file, as Keras writes it", "`h5py`"),
    ("model.gguf", b"GGUF\x03" + bytes(8), "a GGUF file, whose arrays are quantised", "`gguf`"),
    ("model.eqx", b'{"width": 3}\n\x93NUMPY', "a file of Equinox, which has no names", "equinox"),
    ("w.npy", b"\x93NUMPY\x01\x00", "an array of numpy without a name", "Open the folder"),
]


@pytest.mark.parametrize(("name", "raw", "found", "way"), FOREIGN, ids=lambda case: str(case)[:12])
@pytest.mark.parametrize("folder", [False, True])
def test_formats_that_are_not_read_say_how_to_convert_them(tmp_path, name, raw, found, way, folder):
    if folder and name.endswith(".npy"):
        return  # a folder of them is read
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(NotACheckpointError) as caught:
        open_store(tmp_path if folder else tmp_path / name)
    assert caught.value.found == found
    assert way in str(caught.value)
    assert "linen_store.save" in str(caught.value)


def test_the_advice_for_a_lone_npy_file_works(tmp_path):
    np.save(tmp_path / "w.npy", np.ones(2))
    with pytest.raises(NotACheckpointError, match="Open the folder that it is in"):
        open_store(tmp_path / "w.npy")
    assert open_store(tmp_path).get("w", ()).shape == (2,)


def test_a_folder_of_parts_and_of_one_file_is_ambiguous(tmp_path, made):
    write_parts(tmp_path, made)
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(AmbiguousCheckpointError) as caught:
        open_store(tmp_path)
    assert caught.value.choices == ("flax_model.msgpack.index.json", "model.safetensors.index.json")
    store = open_store(tmp_path, item="flax_model.msgpack.index.json")
    assert store.collections() == ("params",)
