import json
import os

import jax
import numpy as np

import utils
from agents import SAC
from buffer import ReplayBuffer
from envs.point import Point
from evaluation import evaluate

STEPS, START, BATCH = 40, 16, 16


def main(save_dir="runs"):
    env = Point(seed=0)
    agent = SAC(0, np.zeros(env.observation_dim, np.float32), np.zeros(env.action_dim, np.float32))
    buffer = ReplayBuffer(env.observation_dim, env.action_dim, capacity=100)
    key = jax.random.PRNGKey(1)
    observation, losses = env.reset(), []
    for step in range(STEPS):
        key, action_key = jax.random.split(key)
        action = agent.sample_actions(observation, action_key)
        following, reward, done = env.step(action)
        buffer.insert(observation, action, reward, float(not done), following)
        observation = env.reset() if done else following
        if step >= START:
            info = agent.update(buffer.sample(BATCH))
            losses.append(float(info["critic_loss"]).hex())
    state = agent.state
    state.actor.save(os.path.join(save_dir, "actor.msgpack"))
    loaded = state.actor.load(os.path.join(save_dir, "actor.msgpack"))
    result = {
        "losses": losses,
        "return": float(evaluate(agent, Point(seed=1))).hex(),
        "temperature": float(info["temperature"]).hex(),
        "params": utils.digest(state.actor.params, state.critic.params, state.target_critic.params),
        "loaded": utils.digest(loaded.params),
        "keys": sorted(utils.flat(state.critic.params)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
