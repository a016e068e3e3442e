"""Saves of one process that overlap: all are whole, and the one that was called last stays."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linen_store import CheckpointStore, save
from linen_store.errors import (
    CheckpointExistsError,
    NestedSaveError,
    UnwritablePathError,
)

PAIRS = int(os.environ.get("LINEN_PAIRS", "200"))
LARGE = {"p": {str(number): np.full((200, 100), 1.0) for number in range(3)}}
SMALL = {"p": {"0": np.full(2, 2.0)}}


@pytest.fixture
def memory(tmp_path):
    """A folder in memory where the system has one: on a disk, hundreds of saves wait for it."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield pathlib.Path(folder)


def held(path):
    """The one value that fills the checkpoint; reading checks that it is whole."""
    store = CheckpointStore(path, verify="files")
    (value,) = {float(one) for leaf in store.snapshot()["p"].values() for one in np.ravel(leaf)}
    return value


def test_of_two_background_saves_to_one_path_the_last_stays(memory):
    for number in range(PAIRS // 4):
        path = memory / str(number % 2)
        first = save(path, LARGE, overwrite=True, wait=False)
        second = save(path, SMALL, overwrite=True, wait=False)
        second.wait(60)
        assert first.done
        first.wait()
        assert held(path) == 2
    assert sorted(os.listdir(memory)) == ["0", "1"]


def test_a_save_beside_a_background_save_to_another_path(memory):
    for _ in range(PAIRS // 4):
        handle = save(memory / "a", LARGE, overwrite=True, wait=False)
        save(memory / "b", SMALL, overwrite=True)
        handle.wait(60)
        assert (held(memory / "a"), held(memory / "b")) == (1, 2)
    assert sorted(os.listdir(memory)) == ["a", "b"]


@pytest.mark.parametrize("same", [True, False], ids=["one path", "a path each"])
def test_saves_from_threads(memory, same):
    """Each thread saves in turn; which of two at the same moment is the last is not said."""
    failures = []

    def work(name, tree):
        try:
            for _ in range(PAIRS // 4):
                save(memory / name, tree, overwrite=True)
        except Exception as error:
            failures.append(error)

    names = ("a", "a") if same else ("a", "b")
    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(names, (LARGE, SMALL), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert [held(memory / name) for name in names] in ([[1, 1], [2, 2]] if same else [[1, 2]])
    assert sorted(os.listdir(memory)) == sorted(set(names))


def test_many_at_once_end_in_the_order_of_the_calls(tmp_path):
    handles = [
        save(tmp_path / "c", {"p": {"w": np.full(3, float(n))}}, overwrite=True, wait=False)
        for n in range(8)
    ]
    for handle in handles:
        handle.wait(60)
    assert held(tmp_path / "c") == 7


def test_a_save_that_fails_lets_the_next_one_go(tmp_path):
    (tmp_path / "file").write_text("x")
    broken = save(tmp_path / "file" / "c", SMALL, wait=False)
    save(tmp_path / "c", SMALL)
    assert held(tmp_path / "c") == 2
    with pytest.raises(UnwritablePathError):
        broken.wait(60)


def test_what_an_earlier_save_puts_there_is_not_overwritten_unasked(tmp_path):
    first = save(tmp_path / "c", LARGE, wait=False)
    with pytest.raises(CheckpointExistsError):
        save(tmp_path / "c", SMALL)
    first.wait(60)
    assert held(tmp_path / "c") == 1


HANDLER = """
import os, signal, sys
import numpy as np, linen_store
from linen_store.saving import checkpoint as saving
from linen_store.errors import NestedSaveError

path, wait = sys.argv[1], sys.argv[2] == "wait"
inner = saving.write_with_orbax
saved = []

def handler(number, frame):
    try:
        saved.append(linen_store.save(path + "-late", {"p": {"w": np.ones(2)}}, wait=wait))
    except NestedSaveError as error:
        print(error)

def interrupted(*arguments):
    os.kill(os.getpid(), signal.SIGUSR1)
    inner(*arguments)

signal.signal(signal.SIGUSR1, handler)
saving.write_with_orbax = interrupted
linen_store.save(path, {"p": {"w": np.zeros(2)}})
saving.write_with_orbax = inner
for handle in saved:
    handle.wait(60)
print(sorted(os.listdir(os.path.dirname(path))))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the system has no such signal")
def test_a_save_in_a_signal_handler_is_refused_and_the_advice_works(tmp_path):
    def run(wait):
        path = tmp_path / wait / "c"
        done = subprocess.run(
            [sys.executable, "-c", HANDLER, str(path), wait],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    late = tmp_path / "wait" / "c-late"
    assert run("wait") == [str(NestedSaveError(late)), "['c']"]
    assert run("no") == ["['c', 'c-late']"]


def test_a_save_that_is_interrupted_while_it_waits_leaves_the_line(tmp_path, monkeypatch):
    gate = threading.Event()
    inner = sys.modules["linen_store.saving.checkpoint"].write_with_orbax

    def slow(*arguments):
        gate.wait(60)
        inner(*arguments)

    monkeypatch.setattr("linen_store.saving.checkpoint.write_with_orbax", slow)
    first = save(tmp_path / "a", SMALL, wait=False)

    class InterruptedEvent(threading.Event):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("linen_store.saving.turn.threading.Event", InterruptedEvent)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path / "b", SMALL)
    last = save(tmp_path / "c", SMALL, wait=False)
    gate.set()
    for handle in (first, last):
        handle.wait(60)
    assert sorted(os.listdir(tmp_path)) == ["a", "c"]


def device_bytes():
    return sum(array.nbytes for array in jax.live_arrays())


def test_a_background_save_copies_to_the_host_and_keeps_no_copy(tmp_path, monkeypatch):
    gate = threading.Event()
    inner = sys.modules["linen_store.saving.checkpoint"]._Job.run

    def late(job, turn):
        gate.wait(60)
        inner(job, turn)

    monkeypatch.setattr("linen_store.saving.checkpoint._Job.run", late)
    tree = {"p": {"w": jnp.full((1024, 1024), 3.0), "small": jnp.full(5, 3.0)}}
    jax.block_until_ready(tree)
    before = device_bytes()
    handle = save(tmp_path / "c", tree, wait=False)
    assert device_bytes() == before
    jax.jit(lambda array: array + 1, donate_argnums=0)(tree["p"]["w"]).block_until_ready()
    tree["p"]["small"].delete()
    gate.set()
    handle.wait(60)
    assert held(tmp_path / "c") == 3
    del tree
    assert device_bytes() <= before - 4 * 1024 * 1024


def test_arrays_that_are_not_ready_are_not_waited_for(tmp_path, same):
    slow = jax.jit(lambda a: jax.lax.fori_loop(0, 20, lambda _, b: jnp.tanh(b @ b), a))
    start = jnp.eye(1000)
    jax.block_until_ready(slow(start))
    began = time.perf_counter()
    jax.block_until_ready(slow(start))
    took = time.perf_counter() - began
    pending = slow(start)
    if pending.is_ready():
        pytest.skip("the computation is done at once here")
    began = time.perf_counter()
    handle = save(tmp_path / "c", {"p": {"w": pending}}, wait=False)
    assert time.perf_counter() - began < took / 2
    expected = np.asarray(pending)
    pending.delete()
    handle.wait(60)
    assert CheckpointStore(tmp_path / "c").get("p", ("w",)).tolist() == expected.tolist()


def test_what_a_background_save_writes_is_what_a_plain_save_writes(tmp_path, variables, same):
    save(tmp_path / "a", variables)
    save(tmp_path / "b", variables, wait=False).wait(60)
    for name in ("_METADATA", "_sharding", "array_metadatas/process_0"):
        read = [(tmp_path / one / "state" / name).read_text() for one in "ab"]
        assert read[0] == read[1]
    assert same(
        CheckpointStore(tmp_path / "b").snapshot(), CheckpointStore(tmp_path / "a").snapshot()
    )
