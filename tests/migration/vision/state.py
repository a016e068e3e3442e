from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.core import FrozenDict, freeze
from flax.training import lr_schedule, train_state

import models


class TrainState(train_state.TrainState):
    batch_stats: Any
    best_accuracy: float = 0.0
    axis_name: str = struct.field(pytree_node=False, default="batch")


def create_train_state(config, steps_per_epoch) -> TrainState:
    model = models.create_model(config)
    image = jnp.ones((1, config.image_size, config.image_size, 3), model.dtype)

    @jax.jit
    def init(rng):
        return model.init({"params": rng}, image, train=False)

    variables: FrozenDict = freeze(init(jax.random.PRNGKey(config.seed)))
    stats, params = variables.pop("params") if "batch_stats" in variables else (freeze({}), variables["params"])
    schedule = lr_schedule.create_cosine_learning_rate_schedule(
        config.learning_rate,
        steps_per_epoch,
        halfcos_epochs=config.num_epochs,
        warmup_length=config.warmup_epochs,
    )
    tx = optax.chain(
        optax.add_decayed_weights(config.weight_decay),
        optax.sgd(schedule, momentum=config.momentum, nesterov=True),
    )
    return TrainState.create(
        apply_fn=model.apply,
        params=params.unfreeze(),
        tx=tx,
        batch_stats=stats.unfreeze().get("batch_stats", {}),
    )
