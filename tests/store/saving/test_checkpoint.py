"""Saving: what Orbax reads back, what is refused, and that an overwritten checkpoint is never lost.

With LINEN_KILLS=50 in the environment, writers are killed at so many moments.
"""

import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from orbax.checkpoint import v1

from linen_store import CheckpointStore, FrozenDict, FrozenDictStore, save
from linen_store.errors import (
    CheckpointExistsError,
    NameCollisionError,
    NotACheckpointError,
    SaveFailedError,
    SaveTimeoutError,
    SeveralProcessesError,
    UnsupportedLeafError,
    UnwritablePathError,
)

TREE = {"params": {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3, jnp.bfloat16)}}


def contents(folder):
    """All files below a folder, with their bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_orbax_v1_opens_it(tmp_path, same):
    save(tmp_path / "c", TREE)
    assert v1.is_orbax_checkpoint(tmp_path / "c")
    target = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding), TREE
    )
    loaded = v1.load(tmp_path / "c", target)
    assert same(jax.tree.map(jnp.asarray, loaded), TREE)


def test_orbax_v0_opens_it(tmp_path, same):
    save(tmp_path / "c", TREE)
    with ocp.PyTreeCheckpointer() as checkpointer:
        target = jax.tree.map(lambda a: ocp.ArrayRestoreArgs(sharding=a.sharding), TREE)
        loaded = checkpointer.restore(tmp_path / "c" / "state", restore_args=target)
    assert same(jax.tree.map(jnp.asarray, loaded), TREE)


@pytest.mark.parametrize("wrap", [FrozenDict, FrozenDictStore, lambda tree: tree])
def test_takes_mappings_and_stores(tmp_path, same, wrap):
    save(tmp_path / "c", wrap(TREE))
    assert same(CheckpointStore(tmp_path / "c").snapshot(), TREE)


def test_numbers_of_another_byte_order_keep_their_value(tmp_path):
    swapped = np.arange(3, dtype=np.dtype(np.float32).newbyteorder("S"))
    save(tmp_path / "c", {"params": {"w": swapped}})
    assert CheckpointStore(tmp_path / "c").get("params", ("w",)).tolist() == [0, 1, 2]
    assert v1.load(tmp_path / "c")["params"]["w"].tolist() == [0, 1, 2]


def test_the_name_that_stands_for_no_collection_may_be_a_users(tmp_path):
    save(tmp_path / "c", {"_linen_nothing": jnp.ones(2)})
    assert CheckpointStore(tmp_path / "c").collections() == ("_linen_nothing",)


@pytest.mark.filterwarnings(
    "ignore:Sharding info not provided"
)  # of Orbax, when it is given no target
def test_an_array_without_elements_is_none_for_orbax(tmp_path):
    save(tmp_path / "c", {"params": {"z": jnp.zeros((0, 3), jnp.bfloat16), "w": jnp.ones(1)}})
    assert v1.load(tmp_path / "c")["params"]["z"] is None
    for verify in (True, False):
        z = CheckpointStore(tmp_path / "c", verify=verify).get("params", ("z",))
        assert (z.shape, z.dtype) == ((0, 3), jnp.bfloat16)


def test_overwrite_changes_places_and_leaves_nothing_behind(tmp_path, same):
    save(tmp_path / "c", {"params": {"old": jnp.ones(1)}})
    save(tmp_path / "c", TREE, overwrite=True)
    assert same(CheckpointStore(tmp_path / "c").snapshot(), TREE)
    assert os.listdir(tmp_path) == ["c"]


def test_without_an_exchange_by_the_system_the_old_one_waits_beside(tmp_path, same, monkeypatch):
    monkeypatch.setattr("linen_store.filesystem.atomic_replace._system_exchange", lambda: None)
    save(tmp_path / "c", {"params": {"old": jnp.ones(1)}})
    save(tmp_path / "c", TREE, overwrite=True)
    assert same(CheckpointStore(tmp_path / "c").snapshot(), TREE)
    assert os.listdir(tmp_path) == ["c"]
    os.rename(tmp_path / "c", tmp_path / ".c.linen-old")
    assert same(CheckpointStore(tmp_path / "c").snapshot(), TREE)
    save(tmp_path / "c", {"params": {"new": jnp.ones(1)}}, overwrite=True)
    assert CheckpointStore(tmp_path / "c").children("params") == ("new",)
    assert os.listdir(tmp_path) == ["c"]


def test_existing_is_not_overwritten_unasked(tmp_path):
    save(tmp_path / "c", TREE)
    before = contents(tmp_path)
    with pytest.raises(CheckpointExistsError):
        save(tmp_path / "c", {"params": {"w": jnp.zeros(1)}})
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", ["file", "folder"])
def test_what_is_no_checkpoint_is_never_overwritten(tmp_path, make):
    if make == "file":
        (tmp_path / "c").write_text("precious")
    else:
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "thesis.txt").write_text("precious")
    before = contents(tmp_path)
    with pytest.raises(NotACheckpointError):
        save(tmp_path / "c", TREE, overwrite=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "tree",
    [
        {"a.b": {"c": jnp.ones(1)}, "a": {"b.c": jnp.ones(1)}},
        {"a": {"b": jnp.ones(1)}, "a.b": jnp.ones(1)},
        {"a": [jnp.ones(1)], "a.0": None},
    ],
)
def test_names_that_collide_when_dotted_are_refused(tmp_path, tree):
    with pytest.raises(NameCollisionError):
        save(tmp_path / "c", tree)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        b"bytes",
        np.array(["s"]),
        np.array([object()]),
        np.zeros(2, [("x", np.float32)]),
        np.zeros(2, jax.dtypes.float0),
        2**64,
        jax.ShapeDtypeStruct((1,), float),
    ],
)
def test_unsupported_values_are_refused_before_anything_is_written(tmp_path, value):
    with pytest.raises(UnsupportedLeafError) as caught:
        save(tmp_path / "c", {"params": {"w": jnp.ones(1), "x": value}})
    assert caught.value.leaf == ("params", "x")
    assert os.listdir(tmp_path) == []


def test_a_tracer_is_refused(tmp_path):
    with pytest.raises(UnsupportedLeafError):
        jax.jit(lambda x: save(tmp_path / "c", {"p": x}))(1.0)


def test_several_processes_need_the_service_of_jax(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(SeveralProcessesError, match=r"Call `jax\.distributed\.initialize`"):
        save(tmp_path / "c", TREE)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnwritablePathError):
        save(tmp_path / "file" / "c", TREE)
    assert (tmp_path / "file").read_text() == "x"


def run_python(script, *args):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    os.chmod(tmp_path.parent, 0o755)
    script = (
        "import os, sys\n"
        "import numpy as np, linen_store\n"
        "from linen_store.errors import UnwritablePathError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "else: os.chmod(os.path.dirname(sys.argv[1]), 0o555)\n"
        "try: linen_store.save(sys.argv[1], {'p': {'w': np.ones(1)}})\n"
        "except UnwritablePathError as error: print(error.reason)\n"
    )
    done = run_python(script, tmp_path / "c")
    assert "Permission denied" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


def test_a_failing_disk_leaves_the_old_checkpoint(tmp_path, same):
    save(tmp_path / "c", TREE)
    before = contents(tmp_path)
    script = (
        "import resource, signal, sys\n"
        "import numpy as np, linen_store\n"
        "from linen_store.errors import SaveFailedError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "big = np.random.default_rng(0).random(1_000_000)\n"
        "try: linen_store.save(sys.argv[1], {'p': {'w': big}}, overwrite=True)\n"
        "except SaveFailedError as error: print('refused', error.path)\n"
    )
    done = run_python(script, tmp_path / "c")
    assert done.stdout == f"refused {tmp_path / 'c'}\n", done.stderr
    assert done.returncode == 0
    assert contents(tmp_path) == before
    assert same(CheckpointStore(tmp_path / "c").snapshot(), TREE)


def test_an_error_of_orbax_is_told_as_ours(tmp_path, monkeypatch):
    def fail(*_):
        msg = "disk on fire"
        raise OSError(msg)

    monkeypatch.setattr("linen_store.saving.checkpoint.write_with_orbax", fail)
    with pytest.raises(SaveFailedError) as caught:
        save(tmp_path / "c", TREE)
    assert caught.value.reason == "disk on fire"
    assert os.listdir(tmp_path) == []


def test_saving_in_the_background(tmp_path, same):
    tree = {"p": {"w": np.ones(4), "j": jnp.ones(3)}}
    handle = save(tmp_path / "c", tree, wait=False)
    tree["p"]["w"][:] = 7
    handle.wait(60)
    assert handle.done
    assert same(
        CheckpointStore(tmp_path / "c").snapshot(), {"p": {"w": np.ones(4), "j": jnp.ones(3)}}
    )


def test_a_background_failure_is_raised_when_waited_for(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UnwritablePathError):
        save(tmp_path / "file" / "c", TREE, wait=False).wait(60)


def test_the_interpreter_waits_for_a_background_save(tmp_path, same):
    script = (
        "import sys, numpy as np, linen_store\n"
        "linen_store.save(sys.argv[1], {'p': {'w': np.ones((500, 500))}}, wait=False)\n"
    )
    done = run_python(script, tmp_path / "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert same(CheckpointStore(tmp_path / "c").snapshot(), {"p": {"w": np.ones((500, 500))}})


def test_a_background_failure_that_nobody_waits_for_is_shown_at_exit(tmp_path):
    (tmp_path / "file").write_text("x")
    script = (
        "import sys, numpy as np, linen_store\n"
        "linen_store.save(sys.argv[1], {'p': {'w': np.ones(2)}}, wait=False)\n"
    )
    done = run_python(script, tmp_path / "file" / "c")
    assert "UnwritablePathError: Cannot save to" in done.stderr


def test_waiting_too_short_is_told(tmp_path):
    handle = save(tmp_path / "c", {"p": {"w": np.ones((300, 300))}}, wait=False)
    with pytest.raises(SaveTimeoutError):
        handle.wait(0)
    handle.wait(60)


def test_saving_logs_nothing(tmp_path):
    script = "import sys, numpy as np, linen_store\nlinen_store.save(sys.argv[1], {'p': {'w': np.ones(2)}})\n"
    done = run_python(script, tmp_path / "c")
    assert (done.stdout, done.stderr) == ("", "")
    asked = "import logging\nlogging.basicConfig(level=logging.INFO)\n"
    done = run_python(asked + script, tmp_path / "d")
    assert "INFO:absl:" in done.stderr


def test_two_writers_leave_one_whole_checkpoint(tmp_path):
    script = (
        "import sys, numpy as np, linen_store\n"
        "for i in range(5):\n"
        "    linen_store.save(sys.argv[1], {'p': {'w': np.full(9, int(sys.argv[2]))}}, overwrite=True)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "c"), str(i)])
        for i in (1, 2)
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    w = CheckpointStore(tmp_path / "c", verify="files").get("p", ("w",))
    assert w.tolist() in ([1] * 9, [2] * 9)
    assert os.listdir(tmp_path) == ["c"]


def test_kill_during_a_save_leaves_old_or_new(tmp_path):
    """Kill an overwriting writer at several moments, spread over the length of a save."""
    script = (
        "import sys, numpy as np, linen_store\n"
        "from orbax.checkpoint import v1\n"
        "print('ready', flush=True)\n"
        "for i in range(1, 1000):\n"
        "    linen_store.save(sys.argv[1], {'p': {str(n): np.full((64, 64), i) for n in range(20)}}, overwrite=True)\n"
    )
    save(tmp_path / "c", {"p": {str(n): np.full((64, 64), 0) for n in range(20)}})
    for attempt in range(int(os.environ.get("LINEN_KILLS", "2"))):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "c")], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.45 + 0.037 * attempt)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        values = CheckpointStore(tmp_path / "c", verify="files").snapshot()["p"]
        assert len({int(value[0, 0]) for value in values.values()}) == 1
    save(tmp_path / "c", TREE, overwrite=True)
    assert os.listdir(tmp_path) == ["c"]


def test_kill_during_a_first_save_leaves_nothing_or_all(tmp_path):
    """Kill a writer of new checkpoints at several moments: what is at a path is whole."""
    script = (
        "import sys, numpy as np, linen_store\n"
        "from orbax.checkpoint import v1\n"
        "print('ready', flush=True)\n"
        "for i in range(1000):\n"
        "    linen_store.save(f'{sys.argv[1]}-{i}', {'p': {str(n): np.full((64, 64), i) for n in range(20)}})\n"
    )
    for attempt in range(int(os.environ.get("LINEN_KILLS", "2"))):
        path = tmp_path / f"c{attempt}"
        writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.45 + 0.037 * attempt)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        for made in tmp_path.glob(f"c{attempt}-*"):
            values = CheckpointStore(made, verify="files").snapshot()["p"]
            assert {int(value[0, 0]) for value in values.values()} == {int(made.name.split("-")[1])}
        # The next save takes away what the killed one left beside its path.
        for left in tmp_path.glob(".linen-saving-*"):
            name = left.name.removeprefix(".linen-saving-").rsplit("-", 1)[0]
            save(tmp_path / name, TREE, overwrite=True)
        assert not list(tmp_path.glob(".linen-saving-*"))


def test_the_checksums_cover_every_leaf_and_file(tmp_path, variables):
    save(tmp_path / "c", variables)
    item = tmp_path / "c" / "state"
    recorded = json.loads((item / "_linen_checksums.json").read_bytes().split(b"\n")[1])
    files = {str(path.relative_to(item)) for path in item.rglob("*") if path.is_file()}
    assert set(recorded["files"]) == files - {"_linen_checksums.json"}
    assert "params.Dense_0.kernel" in recorded["leaves"]
    assert recorded["arrays"]["state.steps.1"] == [[0, 3], "int8", "array"]
    assert recorded["arrays"]["state.keys"] == [[3, 2], "uint32", "array"]
    assert recorded["arrays"]["state.numpy"] == [[4], "int64", "numpy"]
