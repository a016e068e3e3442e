"""A compiled `init` whose results are spread over devices: each device draws its own part."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn

COLLECTIVES = re.compile(r"all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter")
SIZE = 256


@pytest.fixture
def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))


def compiled(mesh, depth, axes):
    """Compile the initialization of equal layers, layer n with the sharding n of some in turn."""
    model = nn.Sequential([nn.Dense(SIZE) for _ in range(depth)])
    x, key = jnp.ones((1, SIZE)), jax.random.key(0)
    shardings = {
        "params": {
            f"layers_{n}": {
                "kernel": NamedSharding(mesh, PartitionSpec(*axes[n % len(axes)])),
                "bias": NamedSharding(mesh, PartitionSpec()),
            }
            for n in range(depth)
        }
    }
    program = jax.jit(model.init, out_shardings=shardings).lower(key, x).compile()
    return program, program(key, x), model.init(key, x)


@pytest.mark.parametrize("axes", [("x", "y"), ("y", None), (None, ("x", "y")), ("y", "x")])
def test_each_device_draws_its_part(mesh, axes):
    program, found, expected = compiled(mesh, 6, [axes])
    assert not COLLECTIVES.search(program.as_text())
    memory = program.memory_analysis()
    part = SIZE * SIZE * 4 // np.prod([mesh.shape[one] for one in jax.tree.leaves(axes)])
    assert memory.output_size_in_bytes < 6 * (part + 4 * SIZE) + 1000
    assert memory.temp_size_in_bytes < 8 * part + 10_000
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


def test_different_shardings_of_one_shape(mesh):
    _, found, expected = compiled(mesh, 6, [("x", "y"), ("y", None), ()])
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


def test_the_program_does_not_grow_with_depth(mesh):
    few, many = (compiled(mesh, depth, [("x", "y")])[0].as_text() for depth in (3, 12))
    assert few.count(" xor(") == many.count(" xor(") > 0
