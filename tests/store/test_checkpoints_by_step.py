"""Checkpoints by step do what those of flax.training.checkpoints do, and read what flax wrote."""

import os

import flax
import flax.training.checkpoints as reference
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax.configurations import config as flax_config

from linen_core.configurations import config
from linen_core.errors import InvalidCheckpointError
from linen_core.train_state import TrainState
from linen_store import FrozenDict, checkpoints
from linen_store.errors import RestoreMismatchError

TREE = {"params": {"w": jnp.arange(3.0), "b": jnp.ones(2, jnp.bfloat16)}, "step": 3}


def steps_of(folder, prefix="checkpoint_"):
    return sorted(name for name in os.listdir(folder) if name.startswith(prefix))


@hypothesis.settings(max_examples=8, deadline=None)
@hypothesis.given(
    steps=st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted),
    keep=st.integers(0, 3),
    every=st.sampled_from([None, 2, 5]),
)
def test_the_same_steps_are_kept(tmp_path_factory, steps, keep, every):
    names = []
    for module in (checkpoints, reference):
        folder = tmp_path_factory.mktemp("steps")
        for step in steps:
            module.save_checkpoint(folder, TREE, step, keep=keep, keep_every_n_steps=every)
        names.append(steps_of(folder))
        assert module.available_steps(folder)[-1] == steps[-1]
        assert os.path.basename(module.latest_checkpoint(folder)) == f"checkpoint_{steps[-1]}"
    assert names[0] == names[1]


def test_steps_may_be_any_numbers(tmp_path):
    for step in (-2, -0.5, 0.25, 1e-3 + 1, 10):
        checkpoints.save_checkpoint(tmp_path, {"w": np.full(1, step)}, step, "loss_", keep=9)
    assert checkpoints.available_steps(tmp_path, "loss_", float) == [-2, -0.5, 0.25, 1.001, 10]
    assert checkpoints.available_steps(tmp_path, "loss_", float) == reference.available_steps(
        tmp_path, "loss_", float
    )
    assert checkpoints.restore_checkpoint(tmp_path, None, 0.25, "loss_")["w"].tolist() == [0.25]


@pytest.mark.parametrize("step", [2, 5])
def test_an_earlier_step_is_refused_and_the_advice_works(tmp_path, step):
    checkpoints.save_checkpoint(tmp_path, TREE, 2, keep=3)
    checkpoints.save_checkpoint(tmp_path, TREE, 5, keep=3)
    with pytest.raises(InvalidCheckpointError, match=f"Cannot save step {step}.*overwrite=True"):
        checkpoints.save_checkpoint(tmp_path, TREE, step, keep=3)
    assert steps_of(tmp_path) == ["checkpoint_2", "checkpoint_5"]
    checkpoints.save_checkpoint(tmp_path, {"w": np.ones(1)}, step, keep=3, overwrite=True)
    assert checkpoints.available_steps(tmp_path) == ([2] if step == 2 else [2, 5])
    assert checkpoints.restore_checkpoint(tmp_path, None)["w"].tolist() == [1.0]


TX = optax.adam(0.1)


def make_state(value=0.0):
    params = {"dense": {"kernel": jnp.full((2, 3), value), "bias": jnp.zeros(3)}}
    return TrainState.create(apply_fn=None, params=params, tx=TX)


def test_a_train_state_goes_on(tmp_path):
    grads = jax.tree.map(jnp.ones_like, make_state().params)
    state = make_state(1.0).apply_gradients(grads=grads)
    checkpoints.save_checkpoint(tmp_path, state, 1)
    restored = checkpoints.restore_checkpoint(tmp_path, make_state())
    expected, found = (one.apply_gradients(grads=grads) for one in (state, restored))
    assert jax.tree.all(jax.tree.map(np.array_equal, expected, found))
    assert int(found.step) == 2


def with_orbax(folder, tree, step):
    reference.save_checkpoint(folder, tree, step)


def with_messagepack(folder, tree, step):
    flax.config.update("flax_use_orbax_checkpointing", False)
    try:
        reference.save_checkpoint(folder, tree, step)
    finally:
        flax.config.update("flax_use_orbax_checkpointing", True)


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon")
@pytest.mark.filterwarnings("ignore:Sharding info not provided")
@pytest.mark.parametrize("write", [with_orbax, with_messagepack])
def test_checkpoints_of_flax_are_restored(tmp_path, write):
    write(tmp_path, TREE, 7)
    target = jax.tree.map(jnp.zeros_like, TREE)
    for where, step in ((tmp_path, None), (tmp_path, 7), (tmp_path / "checkpoint_7", None)):
        for restored in (
            checkpoints.restore_checkpoint(where, target, step),
            checkpoints.restore_checkpoint(where, None, step),
        ):
            expected = reference.restore_checkpoint(where, None, step)
            assert jax.tree.structure(restored) == jax.tree.structure(expected)
            for mine, other in zip(*map(jax.tree.leaves, (restored, expected)), strict=True):
                np.testing.assert_array_equal(np.asarray(mine), np.asarray(other))
            assert restored["params"]["b"].dtype == jnp.bfloat16


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_a_checkpointer_of_orbax_writes_and_reads(tmp_path):
    checkpointer = ocp.PyTreeCheckpointer()
    for step in (1, 2):
        checkpoints.save_checkpoint(tmp_path, TREE, step, orbax_checkpointer=checkpointer)
    assert checkpoints.available_steps(tmp_path) == [2]
    restored = checkpoints.restore_checkpoint(tmp_path, None, orbax_checkpointer=checkpointer)
    assert restored["params"]["w"].tolist() == [0, 1, 2]
    theirs = reference.restore_checkpoint(tmp_path, None)
    assert theirs["params"]["w"].tolist() == [0, 1, 2]


def test_saves_in_a_thread(tmp_path):
    manager = checkpoints.AsyncManager()
    value = np.zeros(4)
    for step in range(3):
        value[:] = step
        checkpoints.save_checkpoint(tmp_path, {"w": value}, step, async_manager=manager)
    value[:] = -1  # the values were copied
    manager.wait_previous_save()
    assert checkpoints.available_steps(tmp_path) == [2]
    assert checkpoints.restore_checkpoint(tmp_path, None)["w"].tolist() == [2.0] * 4


def test_the_error_of_a_save_in_a_thread_is_raised():
    manager = checkpoints.AsyncManager()
    manager.save_async(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        manager.wait_previous_save()


@pytest.mark.filterwarnings("ignore:Flax Checkpointing will soon")
@pytest.mark.parametrize("in_thread", [False, True])
def test_messagepack_is_written_where_the_flag_says_so(tmp_path, in_thread):
    manager = checkpoints.AsyncManager() if in_thread else None
    state = jax.tree.map(np.asarray, TREE)
    with config.temp_flip_flag("use_orbax_checkpointing", False):
        for step in range(3):
            checkpoints.save_checkpoint(tmp_path, state, step, keep=2, async_manager=manager)
    if in_thread:
        manager.wait_previous_save()
    assert steps_of(tmp_path) == ["checkpoint_1", "checkpoint_2"]
    with flax_config.temp_flip_flag("use_orbax_checkpointing", False):
        reference.save_checkpoint(tmp_path / "flax", state, 2)
    ours, theirs = (folder / "checkpoint_2" for folder in (tmp_path, tmp_path / "flax"))
    assert ours.read_bytes() == theirs.read_bytes()
    for module in (checkpoints, reference):
        restored = module.restore_checkpoint(tmp_path, state)
        assert jax.tree.all(jax.tree.map(np.array_equal, restored, state))


def test_messagepack_replaces_a_folder_of_orbax(tmp_path):
    checkpoints.save_checkpoint(tmp_path, {"w": np.zeros(2)}, 1)
    with config.temp_flip_flag("use_orbax_checkpointing", False):
        with pytest.raises(InvalidCheckpointError):
            checkpoints.save_checkpoint(tmp_path, {"w": np.ones(2)}, 1)
        path = checkpoints.save_checkpoint(tmp_path, {"w": np.ones(2)}, 1, overwrite=True)
    assert os.path.isfile(path)
    assert checkpoints.restore_checkpoint(tmp_path, None)["w"].tolist() == [1, 1]


def test_nothing_to_restore(tmp_path):
    assert checkpoints.restore_checkpoint(tmp_path, TREE) is TREE
    assert checkpoints.restore_checkpoint(tmp_path / "missing", TREE) is TREE
    checkpoints.save_checkpoint(tmp_path, TREE, 3)
    with pytest.raises(
        ValueError, match=r"checkpoint_4: the step does not exist. The steps are: 3\."
    ):
        checkpoints.restore_checkpoint(tmp_path, TREE, 4)
    assert checkpoints.restore_checkpoint(tmp_path, TREE, 3)["step"] == 3
    with pytest.raises(RestoreMismatchError, match="params/w"):
        checkpoints.restore_checkpoint(tmp_path, {**TREE, "params": {"w": jnp.zeros(4)}})


def test_temporary_names_are_left_out(tmp_path):
    for name in (
        "checkpoint_tmp",
        "checkpoint_9.orbax-checkpoint-tmp-1",
        "checkpoint_9_gda",
        "other_9",
    ):
        (tmp_path / name).mkdir()
    assert checkpoints.latest_checkpoint(tmp_path) is None
    assert checkpoints.available_steps(tmp_path) == []
    checkpoints.save_checkpoint(tmp_path, TREE, 1)
    assert checkpoints.available_steps(tmp_path) == [1]


@pytest.mark.parametrize("prefix", ["checkpoint_", ""])
def test_what_interrupted_saves_and_removals_left_is_no_step(tmp_path, prefix):
    removed = tmp_path / f"{prefix}7.linen-removed"
    for folder in (removed, tmp_path / f".linen-saving-{prefix}8-ab12cd34"):
        folder.mkdir()
    assert checkpoints.latest_checkpoint(tmp_path, prefix) is None
    checkpoints.save_checkpoint(tmp_path, TREE, 1, prefix)
    checkpoints.save_checkpoint(tmp_path, {"w": np.ones(1)}, 2, prefix)
    assert checkpoints.available_steps(tmp_path, prefix) == [2]
    assert checkpoints.restore_checkpoint(tmp_path, None, prefix=prefix)["w"].tolist() == [1.0]
    assert not removed.exists()


@hypothesis.given(
    st.lists(
        st.from_regex(r"a_[-+]?[0-9]{1,3}(\.[0-9]?)?(_b\.?[0-9])?", fullmatch=True), max_size=6
    )
)
def test_natural_sort(names):
    for signed in (True, False):
        assert checkpoints.natural_sort(names, signed) == reference.natural_sort(names, signed)


@pytest.mark.parametrize("wrap", [dict, FrozenDict])
def test_names_before_linen(wrap):
    old = {
        "Conv_0": {"kernel": 1, "Dense_3": {"kernel": 4}},
        "Dense_1": {"kernel": 2},
        "Dense_10": {"kernel": 3},
        "head": {"bias": 5},
    }
    found = checkpoints.convert_pre_linen(wrap(old))
    assert type(found) is wrap
    assert found == wrap(reference.convert_pre_linen(old))
    assert checkpoints.convert_pre_linen(found) == found
    assert checkpoints.convert_pre_linen(3) == 3
