"""Checkpoints with Orbax."""
import jax
import orbax.checkpoint as ocp
from flax import serialization


def manager(folder, keep=2):
    return ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=keep))


def save(mgr, state):
    tree = serialization.to_state_dict(state)
    mgr.save(int(state.step), args=ocp.args.StandardSave(tree))
    mgr.wait_until_finished()


def restore(mgr, state, step=None):
    step = mgr.latest_step() if step is None else step
    target = jax.tree_util.tree_map(ocp.utils.to_shape_dtype_struct, serialization.to_state_dict(state))
    tree = mgr.restore(step, args=ocp.args.StandardRestore(target))
    return serialization.from_state_dict(state, tree)
