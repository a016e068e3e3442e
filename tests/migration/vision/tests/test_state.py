import jax
import numpy as np

import checkpointing
import input_pipeline
from configs import tiny
from state import create_train_state


def make_state():
    return create_train_state(tiny.get_config().replace(model="mixer"), steps_per_epoch=4)


def test_weights_survive_a_file(tmp_path):
    state = make_state()
    data = checkpointing.export_weights(tmp_path / "w.msgpack", state)
    zeros = state.replace(params=jax.tree_util.tree_map(np.zeros_like, state.params))
    restored = checkpointing.import_weights(tmp_path / "w.msgpack", zeros)
    assert checkpointing.export_weights(tmp_path / "again.msgpack", restored) == data


def test_restore_without_a_checkpoint(tmp_path):
    state = make_state()
    assert checkpointing.restore(str(tmp_path), state) is state


def test_checkpoint_round_trip(tmp_path):
    state = make_state()
    from flax import jax_utils

    checkpointing.save(str(tmp_path), jax_utils.replicate(state.replace(step=7)))
    restored = checkpointing.restore(str(tmp_path), make_state())
    assert restored.step == 7
    same = jax.tree_util.tree_map(np.array_equal, state.params, restored.params)
    assert all(jax.tree_util.tree_leaves(same))


def test_batches_have_a_device_axis():
    data = input_pipeline.make_split(tiny.get_config(), 16, seed=0)
    batch = next(input_pipeline.train_batches(data, 8, np.random.default_rng(0)))
    n = jax.local_device_count()
    assert batch["image"].shape == (n, 8 // n, 8, 8, 3)
