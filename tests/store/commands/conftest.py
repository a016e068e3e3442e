"""A checkpoint, and the command in this process."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_store
from linen_store import cli

TREE = {
    "params": {
        "Dense_0": {"kernel": jnp.arange(12.0).reshape(3, 4), "bias": jnp.zeros(4, jnp.bfloat16)},
        "nan": jnp.array([jnp.nan, jnp.inf, 0.0, 2.0]),
    },
    "state": {"key": jax.random.key(0), "name": "run", "steps": (np.int64(7),)},
}


@pytest.fixture
def tree():
    """The variables of the checkpoint."""
    return jax.tree.map(lambda leaf: leaf, TREE)


@pytest.fixture
def path(tmp_path):
    linen_store.save(tmp_path / "c", TREE)
    return str(tmp_path / "c")


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = cli.main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments else out, err

    return call
