"""Damaged, unfinished and hostile checkpoints: each an error of its own, and nothing on disk is touched.

With LINEN_FLIPS=500 in the environment, bits are flipped at so many places.
"""

import json
import os
import random
import shutil

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

import linen_store
from linen_store import CheckpointStore
from linen_store.errors import (
    AmbiguousCheckpointError,
    CheckpointNotFoundError,
    CheckpointReplacedError,
    ChecksumError,
    DamagedCheckpointError,
    NotACheckpointError,
    UnfinishedCheckpointError,
    UnsafeNameError,
)

RNG = np.random.default_rng(0)
TREE = {
    "params": {
        "big": jnp.asarray(RNG.random((120, 70)), jnp.float32),
        "zeros": jnp.zeros((40, 40)),
        "small": jnp.arange(5),
        "half": jnp.asarray(RNG.random(300), jnp.bfloat16),
    }
}


def contents(folder):
    """All files below a folder, with their bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(params=[True, False], ids=["compressed", "uncompressed"])
def saved(tmp_path, request):
    linen_store.save(tmp_path / "c", TREE, compression=request.param)
    return tmp_path / "c"


def read_all(path):
    return CheckpointStore(path).snapshot()


def test_missing(tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        CheckpointStore(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["file", "empty", "other", "cut"])
def test_no_checkpoint(tmp_path, kind):
    path = tmp_path / "c"
    if kind == "file":
        path.write_bytes(b"\x93NUMPY")
    else:
        path.mkdir()
    if kind == "other":
        (path / "notes.txt").write_text("x")
    if kind == "cut":
        (path / "manifest.ocdbt").write_text("x")
    with pytest.raises(UnfinishedCheckpointError if kind == "cut" else NotACheckpointError):
        CheckpointStore(path)


def test_unfinished(saved):
    tmp = saved.with_name("c.orbax-checkpoint-tmp")
    saved.rename(tmp)
    for path in (tmp, saved):
        with pytest.raises(UnfinishedCheckpointError):
            CheckpointStore(path)
    steps = saved.with_name("steps")
    steps.mkdir()
    tmp.rename(steps / "5.orbax-checkpoint-tmp")
    with pytest.raises(UnfinishedCheckpointError):
        CheckpointStore(steps)


def test_the_newest_complete_step_is_opened(tmp_path):
    with ocp.CheckpointManager(tmp_path / "m") as manager:
        for step in (1, 2):
            manager.save(step, args=ocp.args.StandardSave({"p": {"w": jnp.full(2, step)}}))
    (tmp_path / "m" / "2").rename(tmp_path / "m" / "2.orbax-checkpoint-tmp")
    assert CheckpointStore(tmp_path / "m").get("p", ("w",))[0] == 1
    with pytest.raises(AmbiguousCheckpointError):
        CheckpointStore(tmp_path / "m", step=2)
    # As a copy from a bucket may be, where nothing is renamed; and what no step is.
    (tmp_path / "m" / "3" / "default.orbax-checkpoint-tmp").mkdir(parents=True)
    (tmp_path / "m" / "4").mkdir()
    (tmp_path / "m" / "5").write_text("")
    assert CheckpointStore(tmp_path / "m").get("p", ("w",))[0] == 1
    with pytest.raises(UnfinishedCheckpointError):
        CheckpointStore(tmp_path / "m", step=3)
    shutil.copytree(tmp_path / "m" / "1", tmp_path / "m" / "old_1")
    with pytest.raises(NotACheckpointError, match="several folders of step 1"):
        CheckpointStore(tmp_path / "m")


def test_a_choice_where_there_is_none_is_not_ignored(saved):
    for options in ({"step": 3}, {"item": "state", "step": 3}, {"item": "other"}):
        with pytest.raises(AmbiguousCheckpointError):
            CheckpointStore(saved, **options)
    with pytest.raises(AmbiguousCheckpointError, match=r"step=3 is given, and it has no steps"):
        linen_store.open_store(saved, step=3)


def test_several_items_are_ambiguous(tmp_path):
    v1.save_checkpointables(tmp_path / "c", {"one": {"w": np.ones(2)}, "two": {"w": np.ones(2)}})
    with pytest.raises(AmbiguousCheckpointError):
        CheckpointStore(tmp_path / "c")
    with pytest.raises(AmbiguousCheckpointError):
        CheckpointStore(tmp_path / "c", item="three")
    assert CheckpointStore(tmp_path / "c", item="two").collections() == ("w",)
    (tmp_path / "c" / "one").rename(tmp_path / "c" / "one.orbax-checkpoint-tmp-1")
    assert CheckpointStore(tmp_path / "c").folder == str(tmp_path / "c" / "two")


def test_one_flipped_bit_anywhere_in_the_data_is_an_error_that_names_the_file(saved):
    chance = random.Random(0)
    files = [
        path
        for path in sorted(saved.rglob("*"))
        if path.is_file() and (path.parent.name == "d" or path.name == "manifest.ocdbt")
    ]
    weights = [path.stat().st_size for path in files]
    for _ in range(int(os.environ.get("LINEN_FLIPS", "40"))):
        file = chance.choices(files, weights)[0]
        raw = bytearray(file.read_bytes())
        before = bytes(raw)
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        file.write_bytes(raw)
        with pytest.raises(DamagedCheckpointError) as caught:
            CheckpointStore(saved, verify="files")
        assert caught.value.file == str(file)
        assert _reads_right_or_names(saved, file)
        file.write_bytes(before)
    assert read_all(saved)["params"]["small"].tolist() == [0, 1, 2, 3, 4]


def _reads_right_or_names(path, file):
    """Whether reading names the leaf and the file, or gives the very values that were saved.

    The latter where the bit lies in a part of the file that nothing points to.
    """
    try:
        values = read_all(path)["params"]
    except DamagedCheckpointError as error:
        return error.file == str(file) and (error.leaf is None or error.leaf[0] == "params")
    return all(
        np.asarray(value).tobytes() == np.asarray(TREE["params"][name]).tobytes()
        for name, value in values.items()
    )


@pytest.mark.parametrize("name", ["_METADATA", "_linen_checksums.json"])
def test_one_flipped_bit_in_the_names_or_checksums_is_an_error(saved, name):
    chance = random.Random(1)
    file = saved / "state" / name
    before = file.read_bytes()
    for _ in range(20):
        raw = bytearray(before)
        raw[chance.randrange(len(raw) - 1)] ^= 1 << chance.randrange(8)
        file.write_bytes(raw)
        with pytest.raises(DamagedCheckpointError):
            CheckpointStore(saved)


@pytest.mark.parametrize("harm", ["truncate", "empty", "delete", "grow", "unreadable"])
def test_every_file_of_the_tree_matters(saved, harm):
    for file in sorted(path for path in (saved / "state").rglob("*") if path.is_file()):
        if file.name == "_linen_checksums.json" and harm == "delete":
            continue  # without it the checkpoint is one that Orbax could have written
        raw = file.read_bytes()
        if harm == "delete":
            file.unlink()
        elif harm == "unreadable":
            # Not even root can follow a link to itself.
            file.unlink()
            file.symlink_to(file)
        else:
            file.write_bytes({"truncate": raw[:-1], "empty": b"", "grow": raw + b"x"}[harm])
        before = contents(saved)
        with pytest.raises((DamagedCheckpointError, UnfinishedCheckpointError)) as caught:
            read_all(saved)
        assert file.name in str(caught.value)
        assert contents(saved) == before
        file.unlink(missing_ok=True)
        file.write_bytes(raw)
    assert list(read_all(saved)) == ["params"]


def test_what_orbax_wrote_fails_clearly_without_checksums(tmp_path):
    with ocp.PyTreeCheckpointer(use_ocdbt=False) as checkpointer:
        checkpointer.save(tmp_path / "c", TREE)
    (tmp_path / "c" / "params.big" / "0.0").unlink()
    store = CheckpointStore(tmp_path / "c")
    with pytest.raises(DamagedCheckpointError) as caught:
        store.read("params", [("small",), ("big",)])
    assert caught.value.leaf == ("params", "big")
    shutil.rmtree(tmp_path / "c" / "params.half")
    with pytest.raises(DamagedCheckpointError) as caught:
        store.spec("params", ("half",))
    assert caught.value.leaf == ("params", "half")
    assert store.get("params", ("small",)).tolist() == [0, 1, 2, 3, 4]


def test_of_arrays_that_are_read_together_the_damaged_one_is_named(tmp_path):
    with ocp.PyTreeCheckpointer(use_ocdbt=False) as checkpointer:
        checkpointer.save(tmp_path / "c", {"p": {str(n): jnp.full(9, n) for n in range(20)}})
    (tmp_path / "c" / "p.7" / "0").write_bytes(b"x")
    with pytest.raises(DamagedCheckpointError) as caught:
        read_all(tmp_path / "c")
    assert caught.value.leaf == ("p", "7")


def test_values_that_are_not_those_saved_are_an_error(saved, tmp_path):
    other = tmp_path / "other"
    changed = {"params": {**TREE["params"], "small": jnp.arange(5) + 1}}
    linen_store.save(other, changed, compression=False)
    shutil.copy(saved / "state" / "_linen_checksums.json", other / "state")
    store = CheckpointStore(other, verify=False)
    assert store.get("params", ("small",)).tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(DamagedCheckpointError):
        CheckpointStore(other)
    checked = CheckpointStore(saved)
    checked._checksums.leaves["params.small"] ^= 1
    with pytest.raises(ChecksumError) as caught:
        checked.get("params", ("small",))
    assert caught.value.leaf == ("params", "small")


def test_another_shape_than_was_saved_is_an_error(saved):
    store = CheckpointStore(saved)
    store._recorded["params.small"] = ((6,), "int32", "array")
    with pytest.raises(DamagedCheckpointError) as caught:
        store.get("params", ("small",))
    assert caught.value.reason == "it is int32(5,), int32(6,) was saved"


@pytest.mark.parametrize("how", ["overwritten", "removed", "saved again", "saved in place"])
def test_a_checkpoint_replaced_while_open(saved, how):
    store = CheckpointStore(saved)
    assert store.get("params", ("small",)).tolist() == [0, 1, 2, 3, 4]
    if how == "overwritten":
        linen_store.save(saved, {"params": {"big": jnp.zeros((2, 2))}}, overwrite=True)
    elif how == "saved in place":  # as where a system gives the new folder the old one's number
        linen_store.save(saved.with_name("new"), {"params": {"big": jnp.zeros((2, 2))}})
        shutil.copytree(saved.with_name("new"), saved, dirs_exist_ok=True)
    else:
        shutil.rmtree(saved)
    if how == "saved again":
        linen_store.save(saved, {"params": {"big": jnp.zeros((2, 2))}})
    with pytest.raises(CheckpointReplacedError):
        store.get("params", ("big",))


def metadata(entries, *, ocdbt=False):
    return {
        "tree_metadata": {
            str(names): {
                "key_metadata": [{"key": name, "key_type": 2} for name in names],
                "value_metadata": {"value_type": "jax.Array", "skip_deserialize": False},
            }
            for names in entries
        },
        "use_ocdbt": ocdbt,
        "use_zarr3": False,
    }


def write_metadata(folder, fields):
    folder.mkdir()
    (folder / "_METADATA").write_text(
        fields if isinstance(fields, str) else json.dumps(fields), "utf-8"
    )
    return folder


@pytest.mark.parametrize(
    "names",
    [("..",), (".", ""), ("/etc/passwd",), ("a/../../b",), ("a\0b",), ("",), ("a", "/../b")],
)
def test_names_that_leave_the_folder_are_refused(tmp_path, names):
    with pytest.raises(UnsafeNameError):
        CheckpointStore(write_metadata(tmp_path / "c", metadata([names])))


def test_hostile_names_are_harmless_in_a_database(tmp_path, same):
    tree = {
        "p": {"..": jnp.ones(1), "/etc": jnp.ones(2), "a\0b": jnp.ones(3), "x" * 5000: jnp.ones(4)}
    }
    linen_store.save(tmp_path / "c", tree)
    assert same(CheckpointStore(tmp_path / "c").snapshot(), tree)


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"tree_metadata": []}',
        '{"tree_metadata": {"a": {}}}',
        metadata([("a",), ("a", "b")]),
        metadata([("a", "b"), ("a",)]),
        metadata([("a",) * 100_000]),
        "[" * 100_000,
    ],
)
def test_metadata_that_makes_no_sense(tmp_path, fields):
    folder = write_metadata(tmp_path / "c", fields)
    with pytest.raises(DamagedCheckpointError) as caught:
        CheckpointStore(folder)
    assert caught.value.file == str(folder / "_METADATA")


def test_a_missing_database(tmp_path):
    folder = write_metadata(tmp_path / "c", metadata([("a",)], ocdbt=True))
    with pytest.raises(DamagedCheckpointError) as caught:
        CheckpointStore(folder)
    assert caught.value.file == str(folder / "manifest.ocdbt")
