from typing import Optional

import jax
from flax import core
from flax.training import dynamic_scale as dynamic_scale_lib
from flax.training.train_state import TrainState


class ScaledState(TrainState):
    dynamic_scale: Optional[dynamic_scale_lib.DynamicScale] = None


def create(model, tx, rng, tokens):
    """Return a state with boxed parameters, to be traced."""
    variables = core.freeze(model.init({"params": rng}, tokens))
    _, params = core.pop(variables, "params")
    params = core.unfreeze(params)
    return ScaledState.create(
        apply_fn=model.apply,
        params=params,
        tx=tx,
        dynamic_scale=dynamic_scale_lib.DynamicScale(growth_interval=2, scale=2.0**14),
    )


def select(pred, new, old):
    """Return the new tree where a step was finite."""
    return jax.tree_util.tree_map(lambda a, b: jax.numpy.where(pred, a, b), new, old)
