"""A compiled `init` whose results are spread over devices: each device draws its own part."""

import random
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from core._last_bits import assert_same_draw
from linen_core.scope import deferred

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


def test_an_array_with_long_indices_is_drawn_by_itself(mesh, monkeypatch):
    monkeypatch.setattr(deferred, "MAX_INDEXED", SIZE * SIZE)
    monkeypatch.setattr(deferred, "fill_by_shape", None)
    _, found, expected = compiled(mesh, 2, [("x", "y")])
    assert jax.tree.all(jax.tree.map(np.array_equal, found, expected))


class Block(nn.Module):
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x, _=None):
        x = nn.Dense(16, kernel_init=self.kernel_init, param_dtype=self.dtype)(x)
        return nn.LayerNorm(param_dtype=self.dtype)(x) + nn.Dense(16, param_dtype=self.dtype)(
            x
        ), None


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x):
        scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=8)
        return scan()(x, None)[0]


class Mixed(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Conv(8, (3, 3))(x[:, None, None, :])
        y = nn.BatchNorm(use_running_average=True)(nn.Conv(8, (3, 3))(y)).reshape(-1, 8)
        z = nn.Embed(24, 16)(jnp.zeros((2, 5), jnp.int32))
        z = nn.RNN(nn.GRUCell(16))(nn.MultiHeadDotProductAttention(4)(z))
        return nn.DenseGeneral((4, 4), kernel_init=nn.initializers.orthogonal())(y), z


MODELS = {
    "bfloat16": Block(jnp.bfloat16),
    "float16": Block(jnp.float16, nn.initializers.he_uniform()),
    "of a user": Block(kernel_init=lambda key, *rest: 2 - jax.random.uniform(key, *rest) * 0.1),
    "boxed": Block(kernel_init=nn.with_partitioning(nn.initializers.normal(), (None, "y"))),
    "scanned": Scanned(),
    "vmapped": nn.vmap(Block, variable_axes={"params": 1}, split_rngs={"params": True})(),
    "mixed": Mixed(),
}


@pytest.mark.parametrize("name", MODELS)
def test_any_model_with_any_sharding(mesh, name):
    model, key, x = MODELS[name], jax.random.key(7), jnp.ones((2, 16))
    draw = random.Random(name)

    def sharding(leaf):
        free = [("x", 4), ("y", 2)]
        axes = [
            free.pop(0)[0] if free and size % free[0][1] == 0 and draw.random() < 0.6 else None
            for size in leaf.shape
        ]
        return NamedSharding(mesh, PartitionSpec(*axes))

    shardings = jax.tree.map(sharding, jax.eval_shape(model.init, key, x))
    found = jax.jit(model.init, out_shardings=shardings)(key, x)
    jax.tree.map(assert_same_draw, found, jax.jit(model.init)(key, x))
    assert jax.tree.map(lambda leaf: leaf.sharding, found) == shardings
