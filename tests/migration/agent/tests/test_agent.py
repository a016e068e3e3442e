import jax
import numpy as np
from flax import serialization as ser

from agents.sac import SAC, SACState
from buffer import ReplayBuffer


def make():
    return SAC(0, np.zeros(4, np.float32), np.zeros(2, np.float32), hidden_dims=(4,), num_qs=2, num_min=1)


def test_state_survives_bytes():
    state = make().state
    again = ser.from_bytes(state, ser.to_bytes(state))
    assert isinstance(again, SACState)
    leaves = zip(jax.tree_util.tree_leaves(state), jax.tree_util.tree_leaves(again))
    assert all(np.array_equal(a, b) for a, b in leaves)


def test_target_follows():
    agent, buffer = make(), ReplayBuffer(4, 2, 10)
    buffer.insert(np.ones(4), np.ones(2), 1.0, 1.0, np.ones(4))
    before = agent.state.target_critic.params
    agent.update(buffer.sample(4))
    moved = jax.tree_util.tree_map(lambda a, b: bool((a != b).any()), before, agent.state.target_critic.params)
    assert any(jax.tree_util.tree_leaves(moved))
    assert agent.state.critic.step == 2
