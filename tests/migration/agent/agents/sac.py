import functools
from typing import Tuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training.train_state import TrainState as _TrainState  # kept for users who import it from here

import networks
from agents import updates
from common import InfoDict, Model, PRNGKey, target_update

TrainState = _TrainState


class SACState(struct.PyTreeNode):
    rng: PRNGKey
    actor: Model
    critic: Model
    target_critic: Model
    temp: Model


@functools.partial(jax.jit, static_argnames=("discount", "tau", "target_entropy", "num_min"))
def update_step(
    state: SACState, batch, discount: float, tau: float, target_entropy: float, num_min: int
) -> Tuple[SACState, InfoDict]:
    rng, key, pick, actor_key = jax.random.split(state.rng, 4)
    num_qs = state.critic.apply_fn.num_qs
    target = state.target_critic
    small = target.apply_fn.clone(num_qs=num_min)
    subset = networks.critic.subsample(pick, target.params, num_min, num_qs)
    critic, critic_info = updates.update_critic(
        key, state.actor, state.critic, target.replace(apply_fn=small, params=subset), state.temp, batch, discount
    )
    actor, actor_info = updates.update_actor(actor_key, state.actor, critic, state.temp, batch)
    temp, temp_info = updates.update_temperature(state.temp, actor_info["entropy"], target_entropy)
    state = state.replace(
        rng=rng, actor=actor, critic=critic, target_critic=target_update(critic, target, tau), temp=temp
    )
    return state, {**critic_info, **actor_info, **temp_info}


class SAC:
    def __init__(self, seed, observation, action, hidden_dims=(16, 16), lr=3e-3, num_qs=3, num_min=2):
        keys = jax.random.split(jax.random.PRNGKey(seed), 4)
        actor_def = networks.NormalTanhPolicy(hidden_dims, action.shape[-1])
        critic_def = networks.DoubleCritic(hidden_dims, num_qs=num_qs)
        actor = Model.create(actor_def, [keys[0], observation], tx=optax.adam(lr))
        critic = Model.create(critic_def, [keys[1], observation, action], tx=optax.adam(lr))
        target = Model.create(critic_def, [keys[1], observation, action])
        temp = Model.create(networks.Temperature(0.5), [keys[2]], tx=optax.adam(lr))
        self.options = dict(discount=0.99, tau=0.05, target_entropy=-action.shape[-1] / 2.0, num_min=num_min)
        self.state = SACState(keys[3], actor, critic, target, temp)

    def update(self, batch) -> InfoDict:
        self.state, info = update_step(self.state, batch, **self.options)
        return info

    def sample_actions(self, observations, key=None):
        dist = _distribution(self.state.actor, observations)
        return jnp.clip(dist.mode() if key is None else dist.sample(key), -1, 1)


@jax.jit
def _distribution(actor, observations):
    return actor(observations)
