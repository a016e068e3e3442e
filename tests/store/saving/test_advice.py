"""To follow what an error of saving advises makes the program work.

The advice about the system is followed in test_system_errors.py, that about formats in test_convert.py.
"""

import os
import shutil
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from linen_store import CheckpointStore, open_store, save
from linen_store.errors import (
    CheckpointExistsError,
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DamagedCheckpointError,
    NameCollisionError,
    NotACheckpointError,
    SaveTimeoutError,
    UnencodableNameError,
    UnsortableNamesError,
    UnsupportedLeafError,
    UnwritablePathError,
)
from linen_store.saving import checkpoint as saving

TREE = {"p": {"w": np.ones(2)}}


def works(path):
    return CheckpointStore(path).get("p", ("w",)).tolist() == [1, 1]


def test_something_exists_already(tmp_path):
    save(tmp_path / "c", {"p": {"w": np.zeros(2)}})
    with pytest.raises(CheckpointExistsError, match=r"Pass overwrite=True .* another path"):
        save(tmp_path / "c", TREE)
    save(tmp_path / "d", TREE)
    save(tmp_path / "c", TREE, overwrite=True)
    assert works(tmp_path / "c")
    assert works(tmp_path / "d")


def test_something_else_would_be_overwritten(tmp_path):
    (tmp_path / "c").write_text("x")
    with pytest.raises(NotACheckpointError, match="remove it or choose another path"):
        save(tmp_path / "c", TREE, overwrite=True)
    save(tmp_path / "d", TREE, overwrite=True)
    (tmp_path / "c").unlink()
    save(tmp_path / "c", TREE, overwrite=True)
    assert works(tmp_path / "c")
    assert works(tmp_path / "d")


def test_a_folder_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnwritablePathError, match="choose a folder that can be written"):
        save(tmp_path / "file" / "c", TREE)
    save(tmp_path / "folder" / "c", TREE)
    assert works(tmp_path / "folder" / "c")


def test_a_save_takes_longer_than_was_waited(tmp_path, monkeypatch):
    gate, write = threading.Event(), saving.write_with_orbax
    monkeypatch.setattr(saving, "write_with_orbax", lambda *args: gate.wait(60) and write(*args))
    handle = save(tmp_path / "c", TREE, wait=False)
    with pytest.raises(SaveTimeoutError, match="The save continues; wait for it again"):
        handle.wait(0.01)
    gate.set()
    handle.wait(60)
    assert works(tmp_path / "c")


def test_names_collide_or_cannot_be_encoded(tmp_path):
    with pytest.raises(NameCollisionError, match="Rename one of them"):
        save(tmp_path / "c", {"p": {"w": np.ones(2)}, "p.w": np.ones(1)})
    save(tmp_path / "c", {"p": {"w": np.ones(2)}, "p_w": np.ones(1)})
    with pytest.raises(UnencodableNameError, match="Rename it"):
        save(tmp_path / "d", {"p": {"w\ud800": np.ones(2)}})
    save(tmp_path / "d", TREE)
    with pytest.raises(UnsortableNamesError, match="Make them all strings or all integers"):
        save(tmp_path / "e", {**TREE, "q": [{1: np.ones(2), "w": np.ones(2)}]})
    assert not (tmp_path / "e").exists()
    save(tmp_path / "e", {**TREE, "q": [{"1": np.ones(2), "w": np.ones(2)}]})
    assert works(tmp_path / "c")
    assert works(tmp_path / "d")
    assert works(tmp_path / "e")


@pytest.mark.parametrize(
    ("value", "converted"),
    [
        (1j, jnp.array(1j)),
        (b"bytes", np.frombuffer(b"bytes", np.uint8)),
        (np.longdouble(1), np.float64(1)),
        (np.ma.masked_array([1, 2], [0, 1]), {"data": np.array([1, 2]), "mask": np.array([0, 1])}),
        (2**70, str(2**70)),
        ({1, 2}, None),
    ],
    ids=["complex", "bytes", "long double", "masked", "long integer", "set"],
)
def test_a_value_cannot_be_saved(tmp_path, value, converted):
    with pytest.raises(UnsupportedLeafError, match="Convert or remove it"):
        save(tmp_path / "c", {**TREE, "more": {"x": value}})
    save(tmp_path / "c", {**TREE, "more": {"x": converted}})
    save(tmp_path / "d", {**TREE, "more": {}})
    assert works(tmp_path / "c")
    assert works(tmp_path / "d")


def test_nothing_is_there(tmp_path):
    save(tmp_path / "model", TREE)
    with pytest.raises(CheckpointNotFoundError, match="Check the path"):
        open_store(tmp_path / "modle")
    assert works(tmp_path / "model")


def test_a_file_is_damaged(tmp_path):
    save(tmp_path / "c", TREE)
    shutil.copytree(tmp_path / "c", tmp_path / "copy")
    (tmp_path / "c" / "state" / "manifest.ocdbt").unlink()
    with pytest.raises(DamagedCheckpointError, match="Restore the files from a copy") as caught:
        open_store(tmp_path / "c").snapshot()
    assert works(tmp_path / "copy")
    name = os.path.relpath(caught.value.file, tmp_path / "c")
    shutil.copy(tmp_path / "copy" / name, caught.value.file)
    assert works(tmp_path / "c")


def test_a_checkpoint_was_replaced(tmp_path):
    save(tmp_path / "c", {"p": {"w": np.zeros(2)}})
    store = open_store(tmp_path / "c")
    save(tmp_path / "c", TREE, overwrite=True)
    with pytest.raises(CheckpointReplacedError, match="Open the store again"):
        store.get("p", ("w",))
    assert works(tmp_path / "c")
