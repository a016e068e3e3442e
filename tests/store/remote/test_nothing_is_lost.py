"""A save to a bucket removes what an interrupted save left, and nothing else."""

import numpy as np
import pytest

from linen_store import Checkpoints, open_store, save
from linen_store.errors import RemoteExistsError, UnfinishedCheckpointError
from linen_store.filesystem.remote import RemoteFolder

TREE = {"params": {"w": np.arange(3.0)}}


def test_a_folder_of_steps_is_not_replaced(address):
    with Checkpoints(f"{address}/run") as run:
        run.save(1, TREE)
    before = RemoteFolder(address).names()
    for where in (f"{address}/run", address):
        with pytest.raises(RemoteExistsError):
            save(where, TREE)
        with pytest.raises(RemoteExistsError):
            save(where, TREE, overwrite=True)
    assert RemoteFolder(address).names() == before


def test_an_item_that_was_copied_without_its_checkpoint_is_kept(tmp_path, address, upload):
    save(tmp_path / "c", TREE)
    upload(tmp_path / "c" / "state", f"{address}/c/state")
    before = RemoteFolder(address).names()
    with pytest.raises(RemoteExistsError):
        save(f"{address}/c", TREE)
    assert RemoteFolder(address).names() == before
    assert open_store(f"{address}/c/state").get("params", ("w",)).tolist() == [0, 1, 2]


def test_other_objects_beside_an_interrupted_save_are_kept(s3, tmp_path, address, upload):
    s3.fault = lambda _number, text: "503" if text.startswith("PUT ") and "/d/" in text else None
    with pytest.raises(Exception, match="Cannot write"):
        save(f"{address}/c", TREE)
    s3.forget()
    (tmp_path / "notes.txt").write_text("mine")
    upload(tmp_path / "notes.txt", f"{address}/c/notes.txt")
    with pytest.raises(UnfinishedCheckpointError):
        open_store(f"{address}/c")
    with pytest.raises(RemoteExistsError):
        save(f"{address}/c", TREE)
    assert "c/notes.txt" in RemoteFolder(address).names()


def test_an_interrupted_removal_of_an_interrupted_save_goes_on(s3, address):
    s3.fault = lambda _number, text: "503" if text.startswith("PUT ") and "/d/" in text else None
    with pytest.raises(Exception, match="Cannot write"):
        save(address, TREE)
    s3.fault = lambda _number, text: (
        "503" if text.startswith("DELETE ") and "/state/" in text else None
    )
    with pytest.raises(Exception, match="Cannot delete"):
        save(address, TREE)
    s3.forget()
    with pytest.raises(UnfinishedCheckpointError):
        open_store(address)
    save(address, TREE)
    assert open_store(address, verify="files").get("params", ("w",)).tolist() == [0, 1, 2]


def test_a_step_that_is_removed_in_part_is_no_step(s3, address):
    run = Checkpoints(f"{address}/run", keep=None)
    for step in (1, 2):
        run.save(step, TREE, wait=True)
    s3.fault = lambda _number, text: (
        "503" if text.startswith("DELETE ") and "manifest.ocdbt" in text else None
    )
    with pytest.raises(Exception, match="Cannot delete"):
        run._folder.remove("2")
    s3.forget()
    assert run.steps == [1]
    with pytest.raises(UnfinishedCheckpointError):
        open_store(f"{address}/run/2")
    assert open_store(f"{address}/run").path == f"{address}/run"
    run.save(2, TREE, wait=True)
    assert run.steps == [1, 2]
