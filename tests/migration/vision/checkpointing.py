import flax.serialization
import jax
from flax.jax_utils import replicate, unreplicate
from flax.training import checkpoints


def save(workdir, state, keep=2):
    """Save a replicated state."""
    state = jax.device_get(unreplicate(state))
    checkpoints.save_checkpoint(workdir, state, step=int(state.step), keep=keep, overwrite=True)


def restore(workdir, state):
    """Return the latest checkpoint, or the state itself if there is none."""
    if checkpoints.latest_checkpoint(workdir) is None:
        return state
    return checkpoints.restore_checkpoint(workdir, state)


def restore_replicated(workdir, state):
    return replicate(restore(workdir, state))


def export_weights(path, state):
    """Write the parameters alone as one file, and return its bytes."""
    weights = {"params": state.params, "batch_stats": state.batch_stats}
    data = flax.serialization.to_bytes(weights)
    with open(path, "wb") as f:
        f.write(data)
    return data


def import_weights(path, state):
    with open(path, "rb") as f:
        weights = flax.serialization.from_bytes({"params": state.params, "batch_stats": state.batch_stats}, f.read())
    return state.replace(**weights)
