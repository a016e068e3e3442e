import collections

import numpy as np

Batch = collections.namedtuple("Batch", ["observations", "actions", "rewards", "masks", "next_observations"])


class ReplayBuffer:
    def __init__(self, observation_dim, action_dim, capacity, seed=0):
        self.fields = Batch(
            np.zeros((capacity, observation_dim), np.float32),
            np.zeros((capacity, action_dim), np.float32),
            np.zeros(capacity, np.float32),
            np.zeros(capacity, np.float32),
            np.zeros((capacity, observation_dim), np.float32),
        )
        self.capacity, self.size, self.insert_index = capacity, 0, 0
        self.rng = np.random.default_rng(seed)

    def insert(self, *transition):
        for field, value in zip(self.fields, transition):
            field[self.insert_index] = value
        self.insert_index = (self.insert_index + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def sample(self, batch_size) -> Batch:
        index = self.rng.integers(self.size, size=batch_size)
        return Batch(*(field[index] for field in self.fields))
