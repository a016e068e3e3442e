"""Servers that fail: requests are repeated, then one error names the address, the array and the cause."""

import numpy as np
import pytest

import linen_store
from linen_store import open_store, save
from linen_store.errors import (
    CheckpointNotFoundError,
    RemoteFailedError,
    UnfinishedCheckpointError,
)
from linen_store.filesystem import remote

WEIGHTS = np.arange(100_000, dtype=np.float32)
TREE = {"params": {"w": WEIGHTS}}


@pytest.fixture
def impatient(monkeypatch):
    """Wait for half a second, not for a minute."""
    monkeypatch.setattr(remote, "_PATIENCE", 0.5)


def once_each(fault):
    """Let the first request of each object fail."""
    seen = set()

    def answer(_number, text):
        is_new = text not in seen
        seen.add(text)
        return fault if is_new else None

    return answer


@pytest.mark.parametrize("fault", ["503", "reset", "truncated"])
@pytest.mark.parametrize("name", ["c", "m.safetensors"])
def test_a_fault_that_passes_is_not_noticed(s3, address, fault, name):
    linen_store.convert(TREE, f"{address}/{name}")
    s3.fault = once_each(fault)
    with open_store(f"{address}/{name}") as store:
        assert np.array_equal(store.get("params", ("w",)), WEIGHTS)


@pytest.mark.parametrize("fault", ["503", "reset", "truncated"])
@pytest.mark.parametrize("name", ["c", "m.safetensors"])
def test_a_fault_that_stays_is_one_error(s3, address, fault, name):
    where = f"{address}/{name}"
    linen_store.convert(TREE, where)
    store = open_store(where)
    s3.fault = lambda _number, _text: fault
    with pytest.raises(RemoteFailedError) as error:
        store.get("params", ("w",))
    assert error.value.leaf == ("params", "w")
    assert f"Cannot read 'params/w' of {where!r}: " in str(error.value)
    assert str(error.value).endswith("Check the network and the address, or try again later.")
    with pytest.raises(RemoteFailedError, match=address):
        open_store(where)
    s3.forget()
    assert np.array_equal(store.get("params", ("w",)), WEIGHTS)


@pytest.mark.parametrize("name", ["c", "m.safetensors"])
def test_a_server_that_does_not_answer(s3, address, impatient, name):
    where = f"{address}/{name}"
    linen_store.convert(TREE, where)
    store = open_store(where)
    s3.fault = lambda _number, _text: "slow"
    with pytest.raises(RemoteFailedError, match=r"no answer came \(TIMEOUT\)"):
        store.get("params", ("w",))


def test_a_bucket_that_does_not_exist(s3):
    for call in (lambda: open_store("s3://nowhere/c"), lambda: save("s3://nowhere/c", TREE)):
        with pytest.raises(RemoteFailedError) as error:
            call()
        assert str(error.value) == (
            "Cannot read 's3://nowhere/c': NoSuchBucket: The specified bucket does not exist (NOT_FOUND). "
            "Check the name of the bucket."
        )


def test_an_object_that_was_cut_short(s3, tmp_path, address, upload):
    linen_store.convert(TREE, tmp_path / "m.safetensors")
    raw = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "m.safetensors").write_bytes(raw[:-100])
    upload(tmp_path / "m.safetensors", f"{address}/m.safetensors")
    with open_store(f"{address}/m.safetensors") as store, pytest.raises(RemoteFailedError) as error:
        store.get("params", ("w",))
    assert "restore it from a copy" in str(error.value)


@pytest.mark.parametrize("last", [0, 1, 3, -2, -1])
def test_an_interrupted_save_leaves_nothing_that_looks_finished(s3, address, last):
    save(f"{address}/other", TREE)
    if last < 0:
        last += sum(text.startswith("PUT ") for text in s3.requests)
    count = 0

    def interrupted(_number, text):
        nonlocal count
        count += text.startswith("PUT ")
        return "503" if count > last else None

    s3.fault = interrupted
    with pytest.raises(RemoteFailedError, match="Cannot write 's3://bucket/"):
        save(f"{address}/c", TREE)
    s3.forget()
    expected = UnfinishedCheckpointError if last else CheckpointNotFoundError
    with pytest.raises(expected):
        open_store(f"{address}/c")
    save(f"{address}/c", TREE)
    assert np.array_equal(open_store(f"{address}/c", verify="files").get("params", ("w",)), WEIGHTS)
