"""Checkpoints in a bucket and on a web server: the same values as from a disk, with few requests."""

import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1

import linen_core as nn
import linen_store
from linen_core.errors import StoreClosedError
from linen_store import open_store, save
from linen_store.errors import (
    AmbiguousCheckpointError,
    CheckpointNotFoundError,
    RemoteFailedError,
    UnfinishedCheckpointError,
)

TREE = {
    "params": {
        "w": np.arange(6.0, dtype=np.float32).reshape(2, 3),
        "b": np.arange(3, dtype=np.int32),
    }
}


def write_linen(path, tree=TREE):
    save(path, tree)


def write_orbax(path):
    v1.save(path, TREE)


def write_steps(path):
    for step in (1, 3):
        save(path / str(step), {"params": {**TREE["params"], "b": np.full(3, step, np.int32)}})


def write_parts(path):
    path.mkdir()
    linen_store.convert({"params": {"w": TREE["params"]["w"]}}, path / "part-1.safetensors")
    linen_store.convert({"params": {"b": TREE["params"]["b"]}}, path / "part-2.safetensors")
    (path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"params.w": "part-1.safetensors", "params.b": "part-2.safetensors"}}'
    )


def write_file(path, tree=TREE):
    linen_store.convert(tree, path)


CASES = {
    "linen": write_linen,
    "orbax": write_orbax,
    "model.safetensors": write_file,
    "model.npz": write_file,
    "model.msgpack": write_file,
}


@pytest.mark.parametrize("name", [*CASES, "steps", "parts"])
def test_a_bucket_holds_what_a_disk_holds(tmp_path, address, upload, same, name):
    {**CASES, "steps": write_steps, "parts": write_parts}[name](tmp_path / name)
    upload(tmp_path / name, f"{address}/{name}")
    with open_store(tmp_path / name) as local, open_store(f"{address}/{name}") as found:
        assert found.path in (f"{address}/{name}", f"{address}/{name}/model.safetensors.index.json")
        assert f"{address}/{name}" in repr(found)
        assert found.spec("params") == local.spec("params")
        assert same(found.snapshot(), local.snapshot())
    with pytest.raises(StoreClosedError):
        found.get("params", ("w",))
    model_like = {"params": {"w": jnp.zeros((2, 3)), "b": jnp.zeros(3, jnp.int32)}}
    restored = linen_store.restore(model_like, pathlib.PurePosixPath(f"{address}/{name}")).variables
    assert same(restored, linen_store.restore(model_like, tmp_path / name).variables)


@pytest.mark.parametrize("name", list(CASES))
def test_a_web_server_serves_what_a_disk_holds(web, same, name):
    CASES[name](web.folder / name)
    with open_store(f"{web.address}/{name}") as found, open_store(web.folder / name) as local:
        assert same(found.snapshot(), local.snapshot())


def test_opening_and_reading_take_few_requests(tmp_path, s3, address, upload):
    arrays = {f"layer_{n}": np.full((64, 64), n, np.float32) for n in range(1000)}
    save(tmp_path / "c", {"params": arrays})
    upload(tmp_path / "c", address)
    s3.forget()
    s3.latency = 0.05
    store = open_store(address)
    specs = store.spec("params")
    assert len(specs) == 1000
    assert len(s3.requests) <= 10, s3.requests
    s3.requests.clear()
    assert store.get("params", ("layer_7",))[0, 0] == 7
    assert len(s3.requests) <= 3, s3.requests


@pytest.mark.parametrize("name", ["linen", "model.safetensors"])
def test_opening_and_reading_from_a_web_server_take_few_requests(web, name):
    arrays = {f"layer_{n}": np.full((64, 64), n, np.float32) for n in range(1000)}
    CASES[name](web.folder / name, {"params": arrays})
    web.latency = 0.05
    store = open_store(f"{web.address}/{name}")
    assert len(store.spec("params")) == 1000
    assert len(web.requests) <= 10, web.requests
    if not web.has_ranges:
        return
    web.requests.clear()
    before = web.sent
    assert store.get("params", ("layer_7",))[0, 0] == 7
    assert len(web.requests) <= 3, web.requests
    assert web.sent - before < 4 * 64 * 64 * 4, name


def test_of_a_safetensors_file_only_the_wanted_bytes_are_requested(tmp_path, s3, address, upload):
    arrays = {f"layer_{n}": np.full((256, 256), n, np.float32) for n in range(20)}
    linen_store.convert({"params": arrays}, tmp_path / "m.safetensors")
    upload(tmp_path / "m.safetensors", f"{address}/m.safetensors")
    s3.forget()
    store = open_store(f"{address}/m.safetensors")
    assert store.get("params", ("layer_7",))[0, 0] == 7
    assert len(s3.requests) == 3
    assert s3.sent < 256 * 256 * 4 + 10_000
    mesh = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("x", "y"))
    for axes in (("x",), ("x", "y"), (None, "y")):
        store = open_store(
            f"{address}/m.safetensors", sharding=NamedSharding(mesh, PartitionSpec(*axes))
        )
        assert np.array_equal(store.get("params", ("layer_3",)), arrays["layer_3"])


def test_apply_reads_one_batch(tmp_path, s3, address):
    model, x = nn.Sequential([nn.Dense(4), nn.Dense(3)]), jnp.ones((1, 2))
    variables = model.init(jax.random.key(0), x)
    save(address, variables)
    s3.forget()
    assert np.array_equal(model.apply(open_store(address), x), model.apply(variables, x))
    assert len(s3.requests) <= 13


def test_nothing_there(tmp_path, s3, address, web):
    for where in (
        address,
        f"{address}/m.npz",
        f"{address}/m.safetensors",
        f"{web.address}/c",
        f"{web.address}/m.npz",
    ):
        with pytest.raises(CheckpointNotFoundError) as error:
            open_store(where)
        assert str(error.value) == f"Cannot open {where!r}: nothing is there. Check the path."


def test_a_choice_names_addresses(tmp_path, address, upload):
    for name in ("a.npz", "b.npz"):
        linen_store.convert(TREE, tmp_path / "two" / name)
    upload(tmp_path / "two", address)
    with pytest.raises(AmbiguousCheckpointError) as error:
        open_store(address)
    assert address in str(error.value)
    assert open_store(address, item="b.npz").path == f"{address}/b.npz"
    write_steps(tmp_path / "steps")
    upload(tmp_path / "steps", f"{address}/steps")
    assert open_store(f"{address}/steps", step=1).get("params", ("b",)).tolist() == [1, 1, 1]


def test_what_was_not_completely_uploaded_is_unfinished(tmp_path, address, upload):
    write_steps(tmp_path / "steps")
    (tmp_path / "steps" / "3" / "_LINEN_IN_WORK").touch()
    upload(tmp_path / "steps", address)
    with pytest.raises(UnfinishedCheckpointError) as error:
        open_store(f"{address}/3")
    assert str(error.value).startswith(f"Cannot open '{address}/3': the checkpoint is unfinished")
    assert open_store(address).get("params", ("b",)).tolist() == [1, 1, 1]


def test_damage_is_found(tmp_path, address, upload):
    save(tmp_path / "c", {"params": {"w": np.arange(1000.0)}})
    (file,) = [
        one
        for one in (tmp_path / "c" / "state").rglob("d/*")
        if np.arange(1000.0).tobytes()[:800] in one.read_bytes()
    ]
    raw = bytearray(file.read_bytes())
    raw[raw.index(np.arange(1000.0).tobytes()[:800]) + 100] ^= 1
    file.write_bytes(raw)
    upload(tmp_path / "c", address)
    with pytest.raises(linen_store.errors.DamagedCheckpointError) as error:
        open_store(address).get("params", ("w",))
    assert "'params/w'" in str(error.value)
    assert address in str(error.value)
    with pytest.raises(linen_store.errors.DamagedCheckpointError) as error:
        open_store(address, verify="files")
    assert f"{address}/{file.relative_to(tmp_path / 'c')}" in str(error.value)
    (tmp_path / "c" / "state" / "manifest.ocdbt").unlink()
    shutil.rmtree(tmp_path / "c" / "state" / "d")
    upload(tmp_path / "c", f"{address}/other")
    with pytest.raises(linen_store.errors.DamagedCheckpointError, match="it is missing"):
        open_store(f"{address}/other")


def test_temporary_files_live_as_long_as_the_store(tmp_path, address, monkeypatch):
    save(address, TREE)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    store = open_store(address)
    assert len(list(folder.iterdir())) == 1
    assert store.get("params", ("b",)).tolist() == [0, 1, 2]
    del store
    assert not list(folder.iterdir())
    with pytest.raises(CheckpointNotFoundError):
        open_store(f"{address}/nothing.npz")
    assert not list(folder.iterdir())


def test_no_secret_is_shown(web, s3, monkeypatch):
    host = web.address.removeprefix("http://")
    web.fault = lambda _number, _text: "503"
    for where in (
        f"http://user:secret@{host}/m.npz?signature=secret",
        f"http://user:secret@{host}/c",
    ):
        with pytest.raises(RemoteFailedError) as error:
            open_store(where)
        shown = f"{error.value!r} {error.value} {vars(error.value)} {error.value.__cause__}"
        assert "secret" not in shown
        assert web.address in shown
    s3.fault = lambda _number, _text: "503"
    with pytest.raises(RemoteFailedError) as error:
        open_store("s3://bucket/c")
    assert "the-secret" not in f"{error.value!r} {vars(error.value)}"
