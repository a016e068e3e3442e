"""Checkpoints in a bucket of Google Cloud Storage, answered by a server on this machine."""

import numpy as np
import pytest

import linen_store
from linen_store.cli import main
from linen_store.errors import CheckpointNotFoundError, RemoteExistsError, RemoteFailedError

TREE = {"params": {"w": np.arange(1000, dtype=np.float32).reshape(10, 100)}}


def test_what_is_saved_is_restored(google, same, capsys):
    linen_store.save("gs://bucket/run/model", TREE)
    with linen_store.open_store("gs://bucket/run/model") as store:
        assert same(store.snapshot(), TREE)
    like = {"params": {"w": np.zeros((10, 100), np.float32)}}
    assert same(linen_store.restore(like, "gs://bucket/run/model").variables, TREE)
    with pytest.raises(RemoteExistsError):
        linen_store.save("gs://bucket/run/model", TREE)
    linen_store.convert("gs://bucket/run/model", "gs://bucket/run/model.safetensors")
    google.forget()
    store = linen_store.open_store("gs://bucket/run/model.safetensors")
    assert np.array_equal(store.get("params", ("w",)), TREE["params"]["w"])
    assert any("bytes=" in request for request in google.requests)
    assert main(["ls", "gs://bucket/run/model"]) == 0
    assert "w" in capsys.readouterr().out


def test_steps(google, same):
    with linen_store.Checkpoints("gs://bucket/steps", keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"params": {"w": np.full(3, step)}})
    with linen_store.Checkpoints("gs://bucket/steps") as checkpoints:
        assert list(checkpoints.steps) == [2, 3]
    assert linen_store.open_store("gs://bucket/steps").get("params", ("w",)).tolist() == [3, 3, 3]


def test_failures_name_the_address_and_no_secret(google):
    with pytest.raises(CheckpointNotFoundError) as missing:
        linen_store.open_store("gs://bucket/nothing")
    assert "'gs://bucket/nothing'" in str(missing.value)
    google.fault = lambda _number, _text: "503"
    with pytest.raises(RemoteFailedError) as failed:
        linen_store.open_store("gs://bucket/run")
    shown = f"{failed.value!r} {failed.value} {vars(failed.value)} {failed.value.__cause__}"
    assert "gs://bucket/run" in shown
    assert "the-token" not in shown
