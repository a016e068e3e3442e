"""Modules of scripts and notebooks, whose classes another process cannot import: they are pickled by value."""

from __future__ import annotations

import pickle
import subprocess
import sys

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

KEY = jax.random.key(0)
X = jnp.ones((2, 3))

OTHER_PROCESS = """
import pickle, sys
import jax, jax.numpy as jnp

model = pickle.load(sys.stdin.buffer)
variables = model.init(jax.random.key(0), jnp.ones((2, 3)))
run = model.apply(variables, jnp.ones((2, 3)), capture_intermediates=True, mutable=["intermediates"])
sys.stdout.buffer.write(pickle.dumps(jax.device_get((variables, run))))
"""


def make_model():
    """Make a model of classes that live in this function alone."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _=None):
            return nn.Dense(3)(x), None

    class Head(nn.Module):
        size: int = 2

        def setup(self):
            self.layer = nn.Dense(self.size)

        @property
        def twice(self):
            return 2 * self.size

        @nn.compact_name_scope
        def widened(self, x):
            return nn.Dense(self.twice)(x)

        def __call__(self, x):
            return self.layer(self.widened(x))

    class Model(nn.Module):
        head: nn.Module

        @nn.compact
        def __call__(self, x):
            scanned = nn.scan(
                Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=2
            )
            x, _ = nn.remat(Block)()(scanned()(x, None)[0])
            return self.head(nn.relu(x))

    return Model(Head())


def test_another_process_runs_the_same_model():
    model = make_model()
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        input=cloudpickle.dumps(model),
        capture_output=True,
        check=True,
    )
    found = pickle.loads(done.stdout)
    variables = model.init(KEY, X)
    run = model.apply(variables, X, capture_intermediates=True, mutable=["intermediates"])
    assert jax.tree.structure(found) == jax.tree.structure((variables, run))
    jax.tree.map(np.testing.assert_array_equal, found, jax.device_get((variables, run)))


@pytest.mark.parametrize("lift", [nn.jit, nn.remat])
def test_lifted_classes_are_pickled_with_their_class(lift):
    lifted = lift(type(make_model().head))()
    again = pickle.loads(cloudpickle.dumps(lifted))
    jax.tree.map(np.testing.assert_array_equal, again.init(KEY, X), lifted.init(KEY, X))
