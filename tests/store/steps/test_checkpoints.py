"""Checkpoints by step: what is kept, where a killed run resumes, and what a signal leaves."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

import linen_core as nn
from linen_core.train_state import TrainState
from linen_store import Checkpoints, open_store
from linen_store.errors import (
    CheckpointExistsError,
    StepNotFoundError,
    StepRemovalError,
    UnwritablePathError,
)
from linen_store.saving import checkpoint as saving


def state(step):
    return {"params": {"w": jnp.full((3, 2), step, jnp.float32)}, "step": step}


def test_keeps_the_newest_the_regular_and_the_best(tmp_path):
    with Checkpoints(tmp_path, keep=2, keep_every=4, best="loss") as checkpoints:
        for step, loss in enumerate([0.9, 0.8, 0.1, 0.7, 0.6, 0.5, 0.4, 0.3]):
            checkpoints.save(step, state(step), {"loss": loss, "step": step})
    assert checkpoints.steps == [0, 2, 4, 6, 7]
    assert (checkpoints.latest, checkpoints.best) == (7, 2)
    assert checkpoints.metrics(2) == {"loss": 0.1, "step": 2.0}
    assert sorted(os.listdir(tmp_path)) == ["0", "2", "4", "6", "7"]
    again = Checkpoints(tmp_path, best="loss", mode="max")
    assert (again.latest, again.best) == (7, 0)


def test_restores_into_a_model_and_a_train_state(tmp_path, same):
    model, x = nn.Dense(3), jnp.ones((1, 2))
    variables = model.init(jax.random.key(0), x)
    train = TrainState.create(apply_fn=model.apply, params=variables["params"], tx=optax.adam(0.1))
    grads = jax.tree.map(jnp.ones_like, train.params)
    with Checkpoints(tmp_path / "variables") as checkpoints:
        checkpoints.save(1, variables)
        assert same(checkpoints.restore(model, x).variables, variables)
    with Checkpoints(tmp_path / "train") as checkpoints:
        checkpoints.save(0, train)
        checkpoints.save(1, train.apply_gradients(grads=grads))
        restored, _ = checkpoints.restore(train)
        assert same(restored, train.apply_gradients(grads=grads))
        assert same(checkpoints.restore(train, step=0).variables, train)
        assert int(checkpoints.open(1).get("step", ())) == 1


def test_a_step_that_does_not_exist(tmp_path):
    checkpoints = Checkpoints(tmp_path / "none")
    assert (checkpoints.steps, checkpoints.latest, checkpoints.best) == ([], None, None)
    with pytest.raises(StepNotFoundError, match="found no finished step"):
        checkpoints.restore(state(0))
    checkpoints.save(3, state(3), wait=True)
    with pytest.raises(
        StepNotFoundError, match=r"Cannot restore step 4 of .*: found the steps \[3\]"
    ):
        checkpoints.open(4)


def test_a_step_that_exists_is_replaced_only_if_told(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, state(3), wait=True)
    with pytest.raises(CheckpointExistsError):
        checkpoints.save(3, state(4))
    assert checkpoints.open(3).get("step", ()) == 3
    checkpoints.save(3, state(4), overwrite=True, wait=True)
    assert checkpoints.open(3).get("step", ()) == 4


def test_an_older_step_is_not_removed_by_its_own_save(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    for step, expected in ((30, [30]), (10, [10, 30]), (20, [20, 30]), (40, [40])):
        checkpoints.save(step, state(step), wait=True)
        assert checkpoints.steps == expected
        assert checkpoints.open(step).get("step", ()) == step


def test_an_old_step_that_cannot_be_removed_is_named(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state(1), wait=True)

    rename = os.rename

    def refuse(old, new):
        if new.endswith(".linen-removed"):
            raise PermissionError(13, "Permission denied")
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse)
        with pytest.raises(StepRemovalError) as error:
            checkpoints.save(2, state(2), wait=True)
    assert str(error.value) == (
        f"Saved {str(tmp_path / '2')!r}, but cannot remove {str(tmp_path / '1')!r}: Permission denied. "
        "Remove it, or let this user write its folder."
    )
    assert checkpoints.steps == [1, 2]
    checkpoints.save(3, state(3), wait=True)
    assert checkpoints.steps == [3]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"keep": 0},
            "Cannot keep checkpoints with keep=0 and keep_every=None: expected whole numbers from 1, or None.",
        ),
        (
            {"mode": "least"},
            "Cannot choose the best checkpoint with mode='least': expected 'min' or 'max'.",
        ),
    ],
)
def test_wrong_arguments(tmp_path, options, text):
    with pytest.raises(ValueError) as error:
        Checkpoints(tmp_path, **options)
    assert str(error.value) == text


def test_one_save_at_a_time(tmp_path, monkeypatch):
    gate, write, running = threading.Event(), saving.write_with_orbax, []

    def gated(*arguments):
        running.append(arguments)
        gate.wait(60)
        write(*arguments)

    monkeypatch.setattr(saving, "write_with_orbax", gated)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1))
    second = threading.Thread(target=checkpoints.save, args=(2, state(2)))
    second.start()
    assert checkpoints.steps == []
    assert len(running) <= 1
    gate.set()
    second.join(60)
    checkpoints.wait()
    assert checkpoints.steps == [1, 2]


def test_a_failure_in_the_background_is_raised_by_the_next_call(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "folder")
    checkpoints.save(1, state(1))
    with pytest.raises(UnwritablePathError):
        checkpoints.save(2, state(2))
    checkpoints.wait()


def test_unfinished_and_other_folders_are_skipped(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, state(1), wait=True)
    for name in ("5", "6.orbax-checkpoint-tmp", "notes", ".linen-saving-9-abcdefgh"):
        (tmp_path / name).mkdir()
    shutil.copytree(tmp_path / "1", tmp_path / "3.linen-removed")
    assert checkpoints.steps == [1]
    checkpoints.save(2, state(2), wait=True)
    assert checkpoints.steps == [1, 2]
    assert not (tmp_path / "3.linen-removed").exists()  # a killed run has not removed all of it
    assert open_store(tmp_path, step=2).get("step", ()) == 2


def test_orbax_reads_the_folder_and_its_steps_are_read(tmp_path):
    with Checkpoints(tmp_path / "ours") as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(step))
    with ocp.CheckpointManager(tmp_path / "ours") as manager:
        assert sorted(manager.all_steps()) == [1, 2]
    with ocp.CheckpointManager(tmp_path / "theirs") as manager:
        manager.save(7, args=ocp.args.StandardSave(state(7)))
    checkpoints = Checkpoints(tmp_path / "theirs")
    assert (checkpoints.steps, checkpoints.metrics(7)) == ([7], {})
    assert checkpoints.open().get("params", ("w",)).tolist() == [[7, 7]] * 3


TRAIN = """
import sys, jax, jax.numpy as jnp, numpy as np, optax, linen_core as nn
from linen_core.train_state import TrainState
from linen_store import Checkpoints

class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dropout(0.5, deterministic=False)(nn.relu(nn.Dense(16)(x)))
        return nn.Dense(1)(x)

folder, last = sys.argv[1], int(sys.argv[2])
data = np.random.default_rng(0).random((64, 8), np.float32)
model = Net()
keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
params = model.init(keys, data[:1])["params"]
train = TrainState.create(apply_fn=model.apply, params=params, tx=optax.adam(0.01))
state = {"train": train, "key": jax.random.key(2), "position": 0}

@jax.jit
def update(train, key, batch):
    def loss(params):
        out = model.apply({"params": params}, batch, rngs={"dropout": key})
        return jnp.mean((out - batch.sum(axis=1, keepdims=True)) ** 2)
    value, grads = jax.value_and_grad(loss)(train.params)
    return train.apply_gradients(grads=grads), value

with Checkpoints(folder, keep=2) as checkpoints:
    if checkpoints.latest is not None:
        state = checkpoints.restore(state).variables
    print("ready", flush=True)
    for step in range(int(state["train"].step), last):
        key, used = jax.random.split(state["key"])
        position = state["position"]
        batch = np.take(data, range(position, position + 4), axis=0, mode="wrap")
        train, loss = update(state["train"], used, batch)
        state = {"train": train, "key": key, "position": (position + 4) % 64}
        checkpoints.save(step + 1, state)
        print(step + 1, float(loss).hex(), flush=True)
        if checkpoints.stop(step + 1, state):
            print("stopped", flush=True)
            break
"""


def losses(lines):
    return dict(line.split() for line in lines if line[0].isdigit())


def run_training(folder, last, signal_number=None, delay=0.0):
    run = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(folder), str(last)], stdout=subprocess.PIPE, text=True
    )
    first = run.stdout.readline()
    assert first == "ready\n"
    lines = []
    if signal_number is not None:
        lines.append(run.stdout.readline().rstrip())
        time.sleep(delay)
        run.send_signal(signal_number)
    lines += run.stdout.read().splitlines()
    run.stdout.close()
    return run.wait(120), lines


def test_a_killed_run_resumes_bit_for_bit(tmp_path):
    """Model, optimizer, keys, step and the position in the data are those of a run that nobody interrupted."""
    last = 12
    code, lines = run_training(tmp_path / "whole", last)
    assert (code, len(lines)) == (0, last)
    found = {}
    draw = random.Random()
    code, lines = run_training(tmp_path / "killed", 10_000, signal.SIGKILL, draw.uniform(0, 0.2))
    assert code == -signal.SIGKILL
    found.update(losses(lines))
    saved = Checkpoints(tmp_path / "killed").latest or 0
    code, lines = run_training(tmp_path / "killed", max(last, saved + 2))
    assert code == 0
    resumed = losses(lines)
    assert min(map(int, resumed)) == saved + 1
    whole = losses(run_training(tmp_path / "other", max(last, saved + 2))[1])
    assert {step: loss for step, loss in {**found, **resumed}.items() if step in whole} == {
        step: loss for step, loss in whole.items() if step in {**found, **resumed}
    }


def test_a_signal_saves_and_stops(tmp_path):
    code, lines = run_training(tmp_path, 100_000, signal.SIGTERM)
    assert (code, lines[-1]) == (0, "stopped")
    assert Checkpoints(tmp_path).latest == int(lines[-2].split()[0])


TOGETHER = """
from linen_store import Checkpoints

def state(step):
    return {"params": {"w": put(VALUES + step, "x", "y")}, "step": step}

with Checkpoints(path, keep=2, best="loss") as checkpoints:
    start = checkpoints.latest
    restored = None if start is None else checkpoints.restore(state(0)).variables
    if restored is not None:
        own = restored["params"]["w"].addressable_shards
        expected = VALUES + restored["step"]
        tell(all(np.array_equal(shard.data, expected[shard.index]) for shard in own))
    tell(start)
    for step in range(0 if start is None else start + 1, 10_000):
        checkpoints.save(step, state(step), {"loss": abs(step - 2)})
        tell(step)
        if checkpoints.stop(step, state(step)):
            tell("stopped")
            break
    tell(checkpoints.steps)
    tell(checkpoints.best)
"""


def test_processes_save_together_and_stop_at_the_same_step(tmp_path, workers):
    path = tmp_path / "steps"
    started = workers(TOGETHER, 2, path)
    while len(started.told(0)) < 6:
        assert all(worker.poll() is None for worker in started.running)
        time.sleep(0.01)
    started.running[1].send_signal(signal.SIGTERM)
    first, second = started.results()
    assert first[:-1] == second[:-1]
    assert first[0] is None
    assert first[-3] == "stopped"
    last = first[-4]
    assert first[-2:] == [[2, last - 1, last], 2]
    assert Checkpoints(path).latest == last
    store = Checkpoints(path).open(verify="files")
    assert np.array_equal(store.get("params", ("w",))[0, :2], np.arange(2) + last)
