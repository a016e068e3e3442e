"""open_store: every format that Linen users have on disk, written by the libraries themselves."""

import io
import json
import pathlib
import pickle
import zipfile

import flax.serialization
import flax.training.checkpoints
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
import safetensors.flax
import safetensors.numpy
from flax.training.train_state import TrainState
from flax.traverse_util import flatten_dict

import linen_core as nn
import linen_store
from linen_core.errors import StoreClosedError
from linen_store import FlaxMsgpackStore, NpzStore, SafetensorsStore, open_store
from linen_store.errors import (
    AmbiguousCheckpointError,
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DamagedCheckpointError,
    KeyMapError,
    NotACheckpointError,
    RemotePathError,
    TorchNamesError,
    UnmappedNameError,
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
FLAT_WRITERS = [write_safetensors, write_npz]


@pytest.mark.parametrize("write", WRITERS)
def test_each_format_gives_the_same_variables(tmp_path, same, write):
    store = open_store(write(tmp_path))
    assert same(store.snapshot(), TREE)
    assert store.spec("params", ("Dense_0", "bias")) == jax.ShapeDtypeStruct((4,), jnp.bfloat16)
    assert store.stats.leaves == 5
    store.close()
    with pytest.raises(StoreClosedError):
        store.collections()


@pytest.mark.parametrize("write", WRITERS[:-1])
def test_the_folder_will_do(tmp_path, same, write):
    write(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert same(open_store(tmp_path).snapshot(), TREE)


@pytest.mark.parametrize("write", WRITERS)
def test_root_dtype_and_sharding(tmp_path, write):
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    store = open_store(write(tmp_path), "params", dtype=jnp.float16, sharding=where)
    kernel = store.get("Dense_0", ("kernel",))
    assert (kernel.dtype, kernel.sharding) == (jnp.float16, where)
    assert store.get("Embed", ("embedding",)).dtype == jnp.int8
    assert store.spec("Dense_0", ("kernel",)).sharding == where


def test_only_the_msgpack_store_is_not_lazy(tmp_path):
    lazy = {write.__name__: open_store(write(tmp_path)).capabilities.lazy for write in WRITERS}
    assert [name for name, is_lazy in lazy.items() if not is_lazy] == ["write_msgpack"]


def test_restore_takes_any_format(tmp_path, same):
    model, x = nn.Dense(3), jnp.ones((1, 2))
    made = model.init(jax.random.key(0), x)
    path = tmp_path / "m.safetensors"
    safetensors.flax.save_file(flatten_dict(made, sep="."), path)
    variables, _ = linen_store.restore(model, path, x)
    assert same(variables, made)


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


def test_64_bit_numbers_are_never_cut(tmp_path):
    big = np.array([2**40, -1])
    safetensors.numpy.save_file({"a.b": big}, tmp_path / "m.safetensors")
    np.savez(tmp_path / "m.npz", **{"a/b": big})
    (tmp_path / "m.msgpack").write_bytes(flax.serialization.to_bytes({"a": {"b": big}}))
    for name in ("m.safetensors", "m.npz", "m.msgpack"):
        value = open_store(tmp_path / name).get("a", ("b",))
        assert (value.dtype, value.tolist()) == (np.int64, [2**40, -1])


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


def test_what_is_there_is_told_from_its_content(tmp_path, same):
    path = write_safetensors(tmp_path).rename(tmp_path / "model.bin")
    assert isinstance(open_store(path), SafetensorsStore)
    for name, raw, found in (
        ("empty", b"", "an empty file"),
        ("pickle", pickle.dumps({"a": 1}), "a pickle"),
        ("old pickle", pickle.dumps({"a": 1}, 2), "a pickle"),
        ("text", b"hello", "starts with b'hello'"),
        ("h5", b"\x89HDF", "starts with"),
    ):
        file = tmp_path / name
        file.write_bytes(raw)
        with pytest.raises(NotACheckpointError, match=found):
            open_store(file)
    with zipfile.ZipFile(tmp_path / "torch.pt", "w") as archive:
        archive.writestr("archive/data.pkl", "x" * 100)
    with pytest.raises(NotACheckpointError, match=r"a zip file with 'archive/data.pkl' in it"):
        open_store(tmp_path / "torch.pt")
    np.savez(tmp_path / "nothing.npz")
    assert open_store(tmp_path / "nothing.npz").collections() == ()
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotACheckpointError):
        open_store(tmp_path / "folder")
    with pytest.raises(CheckpointNotFoundError):
        open_store(tmp_path / "nothing")


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


@pytest.mark.parametrize("path", ["gs://bucket/c", pathlib.Path("s3://bucket/c"), "file://host/c"])
def test_addresses_of_object_stores_are_refused(tmp_path, path):
    calls = [
        lambda: open_store(path),
        lambda: linen_store.CheckpointStore(path),
        lambda: SafetensorsStore(path),
        lambda: linen_store.restore(nn.Dense(1), path, jnp.ones((1, 1))),
        lambda: linen_store.save(path, TREE),
        lambda: linen_store.convert(write_linen(tmp_path), path),
    ]
    for call in calls:
        with pytest.raises(RemotePathError) as caught:
            call()
        assert caught.value.path == str(path)


def test_a_folder_whose_name_looks_like_an_address_is_opened(tmp_path, same, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model:").mkdir()
    linen_store.save(tmp_path / "model:" / "c", TREE)
    assert same(open_store("model:/c").snapshot(), TREE)


def test_options_reach_what_an_interrupted_save_left(tmp_path):
    write_linen(tmp_path).rename(tmp_path / ".c.linen-old")
    kernel = open_store(tmp_path / "c", dtype=jnp.float16).get("params", ("Dense_0", "kernel"))
    assert kernel.dtype == jnp.float16


def test_several_files_are_ambiguous(tmp_path):
    write_safetensors(tmp_path)
    write_npz(tmp_path)
    with pytest.raises(AmbiguousCheckpointError) as caught:
        open_store(tmp_path)
    assert caught.value.choices == ("model.npz", "model.safetensors")
    assert isinstance(open_store(tmp_path, item="model.npz"), NpzStore)
    with pytest.raises(AmbiguousCheckpointError):
        open_store(tmp_path, item="model.msgpack")


def header(fields, data=b"", length=None):
    raw = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + data


def entry(shape, offsets, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        header({}, length=2**62),
        header({}, length=99),
        header(b"{"),
        header(b"[]"),
        header({"a": entry([2], [0, 8])}),
        header({"a": entry([2**60], [0, 2**62])}),
        header({"a": entry([1], [0, 8])}, bytes(8)),
        header({"a": entry([-1], [0, 4])}, bytes(4)),
        header({"a": entry([1], [-4, 0])}, bytes(4)),
        header({"a": entry([1], [0, 4], "F99")}, bytes(4)),
        header({"a": entry([1], [0, 4]), "b": entry([1], [2, 6])}, bytes(8)),
        header({"a": 3}),
        header({"a": entry("xy", [0, 4])}, bytes(4)),
        header(b"[" * 100_000),
        header({"a": entry([1], [4, 8])}, bytes(8)),
        header({"a": entry([1], [0, 4])}, bytes(8)),
        header({"a": entry([1], [0, 4.0])}, bytes(4)),
        header({"a": entry([True], [0, 4])}, bytes(4)),
        header({"a": entry([0, 2**70], [0, 0])}),
        header({"__metadata__": 3}),
    ],
    ids=range(22),
)
def test_safetensors_that_lie(tmp_path, raw):
    path = tmp_path / "m.safetensors"
    path.write_bytes(raw)
    with pytest.raises(DamagedCheckpointError) as caught:
        SafetensorsStore(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize("file", ["../x.safetensors", "/etc/passwd", "..", ""])
def test_an_index_that_leads_elsewhere(tmp_path, file):
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(UnsafeNameError):
        open_store(path)


def test_an_index_that_does_not_fit(tmp_path):
    path = write_sharded(tmp_path)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({"weight_map": {**fields["weight_map"], "extra": "a.safetensors"}}))
    with pytest.raises(DamagedCheckpointError):
        open_store(path)
    path.write_text("{}")
    with pytest.raises(DamagedCheckpointError):
        open_store(path)
    path.write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    with pytest.raises(CheckpointNotFoundError):
        open_store(path)


@pytest.mark.parametrize("write", [write_safetensors, write_npz])
def test_a_file_replaced_while_open(tmp_path, write):
    path = write(tmp_path)
    store = open_store(path)
    other = path.with_name(f"new{path.suffix}")
    if write is write_npz:
        np.savez(other, **{"params/a": np.ones(1)})
    else:
        safetensors.flax.save_file({"params.a": jnp.ones(1)}, other)
    other.replace(path)
    with pytest.raises(CheckpointReplacedError):
        store.get("params", ("Dense_0", "kernel"))


def test_pickles_in_an_npz_are_never_loaded(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.array([print], dtype=object))
    with pytest.raises(NotACheckpointError, match=r"pickled objects in 'a.npy'"):
        open_store(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", a=np.array(["text"]))
    with pytest.raises(NotACheckpointError, match="an array of <U4"):
        open_store(tmp_path / "m.npz")


def test_an_npz_that_lies_or_is_damaged(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, **{"p/a": np.arange(1000)})
    raw = path.read_bytes()
    for cut in (raw[:-1], raw[:100], raw[:-30] + bytes(30)):
        path.write_bytes(cut)
        with pytest.raises(DamagedCheckpointError):
            NpzStore(path)
    flipped = bytearray(raw)
    flipped[2000] ^= 1
    path.write_bytes(flipped)
    store = NpzStore(path)
    with pytest.raises(DamagedCheckpointError) as caught:
        store.get("p", ("a",))
    assert caught.value.leaf == ("p", "a")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", raw[30 + len("p/a.npy") :][:128])
    with pytest.raises(DamagedCheckpointError):
        NpzStore(path)


def test_numbers_of_another_byte_order_in_an_npz(tmp_path):
    swapped = np.arange(3, dtype=np.dtype(np.int32).newbyteorder("S"))
    np.savez(tmp_path / "m.npz", **{"p/a": swapped, "p/b": np.asfortranarray(np.eye(2, 3, 1))})
    store = NpzStore(tmp_path / "m.npz")
    assert store.spec("p", ("a",)).dtype == np.int32
    assert store.get("p", ("a",)).tolist() == [0, 1, 2]
    assert store.get("p", ("b",)).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_an_npz_that_claims_more_than_it_can_hold(tmp_path):
    header_only = io.BytesIO()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header_only, fields)
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("p/a.npy", header_only.getvalue())
        archive.getinfo("p/a.npy").file_size = len(header_only.getvalue()) + 4 * (1 << 40)
    with pytest.raises(DamagedCheckpointError, match="cannot have"):
        NpzStore(tmp_path / "m.npz")


def test_damaged_msgpack(tmp_path):
    path = write_msgpack(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DamagedCheckpointError) as caught:
        open_store(path)
    assert caught.value.file == str(path)


def test_bare_metadata_says_that_the_names_are_those_of_flax(tmp_path, same):
    weights = {"params.fc.weight": jnp.ones(3)}
    safetensors.flax.save_file(weights, tmp_path / "m.safetensors", metadata={"format": "flax"})
    assert open_store(tmp_path / "m.safetensors").children("params", ("fc",)) == ("weight",)
    tree = {"params": {"weight": jnp.ones(3, jnp.int8), "b": jnp.ones(2)}}
    linen_store.convert(nn.MemoryStore(tree), tmp_path / "n.safetensors")
    assert same(open_store(tmp_path / "n.safetensors").snapshot(), tree)
    loaded = safetensors.flax.load_file(tmp_path / "n.safetensors")
    assert same(loaded, {"params.weight": jnp.ones(3, jnp.int8), "params.b": jnp.ones(2)})


def test_the_folder_of_safetensors(tmp_path):
    write_sharded(tmp_path)
    assert SafetensorsStore(tmp_path).collections() == ("batch_stats", "params")
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(NotACheckpointError, match=r"\['a.safetensors', 'b.safetensors'\]"):
        SafetensorsStore(tmp_path)


def test_a_key_map_that_lacks_a_name(tmp_path):
    np.savez(tmp_path / "m.npz", a=np.ones(1), b=np.ones(1))
    with pytest.raises(UnmappedNameError):
        open_store(tmp_path / "m.npz", key_map={"a": "params/a"})


def test_keys_of_msgpack_that_are_the_same_as_names(tmp_path):
    (tmp_path / "m.msgpack").write_bytes(b"\x82\x01\x02\xa11\x03")
    with pytest.raises(DamagedCheckpointError, match="are not different names"):
        FlaxMsgpackStore(tmp_path / "m.msgpack")
