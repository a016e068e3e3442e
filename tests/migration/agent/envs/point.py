import numpy as np


class Point:
    """A point is pushed to the origin."""

    observation_dim, action_dim, length = 4, 2, 10

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.position = self.rng.uniform(-1, 1, size=2)
        self.velocity, self.time = np.zeros(2), 0
        return self._observe()

    def _observe(self):
        return np.concatenate([self.position, self.velocity]).astype(np.float32)

    def step(self, action):
        self.velocity = 0.5 * self.velocity + 0.2 * np.asarray(action)
        self.position = np.clip(self.position + self.velocity, -2, 2)
        self.time += 1
        return self._observe(), -float(np.linalg.norm(self.position)), self.time >= self.length
