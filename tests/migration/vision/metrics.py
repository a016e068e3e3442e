"""Metrics of one evaluation, and a writer of JSON lines."""
import json
import os

import jax
import jax.numpy as jnp

import flax


@flax.struct.dataclass
class Accumulator:
    count: jnp.ndarray
    loss: jnp.ndarray
    correct: jnp.ndarray

    @classmethod
    def empty(cls):
        return cls(count=jnp.zeros(()), loss=jnp.zeros(()), correct=jnp.zeros(()))

    def add(self, other: "Accumulator") -> "Accumulator":
        return jax.tree_util.tree_map(jnp.add, self, other)

    def compute(self):
        return {"loss": float(self.loss / self.count), "accuracy": float(self.correct / self.count)}


class MetricsWriter:
    def __init__(self, workdir):
        os.makedirs(workdir, exist_ok=True)
        self._file = open(os.path.join(workdir, "metrics.jsonl"), "a")

    def write_scalars(self, step, scalars):
        line = {"step": int(step), **{name: float(value) for name, value in scalars.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self):
        self._file.close()
