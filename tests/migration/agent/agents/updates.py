"""The three updates of soft actor-critic, as functions of models."""
from typing import Tuple

import jax
import jax.numpy as jnp

from buffer import Batch
from common import InfoDict, Model, PRNGKey


def update_critic(
    key: PRNGKey, actor: Model, critic: Model, target: Model, temp: Model, batch: Batch, discount: float
) -> Tuple[Model, InfoDict]:
    actions, log_probs = actor(batch.next_observations).sample_and_log_prob(key)
    next_q = target(batch.next_observations, actions).min(0) - temp() * log_probs
    target_q = batch.rewards + discount * batch.masks * next_q

    def critic_loss_fn(params):
        qs = critic.apply({"params": params}, batch.observations, batch.actions)
        loss = ((qs - target_q) ** 2).mean()
        return loss, {"critic_loss": loss, "q": qs.mean()}

    return critic.apply_gradient(critic_loss_fn)


def update_actor(key: PRNGKey, actor: Model, critic: Model, temp: Model, batch: Batch) -> Tuple[Model, InfoDict]:
    def actor_loss_fn(params):
        dist = actor.apply(
            {"params": params}, batch.observations, training=True, rngs={"dropout": key}
        )
        actions, log_probs = dist.sample_and_log_prob(key)
        loss = (log_probs * temp() - critic(batch.observations, actions).min(0)).mean()
        return loss, {"actor_loss": loss, "entropy": -log_probs.mean()}

    return actor.apply_gradient(actor_loss_fn)


def update_temperature(temp: Model, entropy: jnp.ndarray, target_entropy: float):
    def loss_fn(params):
        temperature = temp.apply({"params": params})
        loss = temperature * jax.lax.stop_gradient(entropy - target_entropy).mean()
        return loss, {"temperature": temperature, "temp_loss": loss}

    return temp.apply_gradient(loss_fn)
