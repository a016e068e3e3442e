from flax.linen import *  # the names of layers in this file are those of flax

import jax
import jax.numpy as jnp
from flax.core.frozen_dict import freeze, unfreeze, FrozenDict


class Head(Module):
    """A probe on frozen features."""

    classes: int

    @compact
    def __call__(self, x):
        return log_softmax(Dense(self.classes)(x))


def greedy(model: "Module", params, tokens, length):
    """Append the most likely tokens."""
    params = freeze(unfreeze(params)) if isinstance(params, FrozenDict) else freeze(params)
    for _ in range(length):
        logits = model.apply({"params": params}, tokens)
        tokens = jnp.concatenate([tokens, logits[:, -1:].argmax(-1)], axis=1)
    return jax.device_get(tokens)
