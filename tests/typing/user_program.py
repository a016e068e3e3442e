"""A program as a user writes it, for a type checker. `# error: CODE` marks what the checker must refuse."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_core import errors, struct


class Block(nn.Module):
    features: int
    use_bias: bool = True
    activation: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features))
        steps = self.variable("state", "steps", lambda: jnp.zeros((), jnp.int32))
        steps.value += 1
        x = nn.Dropout(0.5, deterministic=not train)(x @ kernel)
        return self.activation(nn.Dense(self.features, use_bias=self.use_bias)(x))


class Encoder(nn.Module):
    sizes: Sequence[int]

    def setup(self) -> None:
        self.blocks = [Block(size) for size in self.sizes]

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return x

    @nn.nowrap
    def width(self) -> int:
        return self.sizes[-1]


block = Block(4, use_bias=False, name="block", parent=None)
assert_type(block, Block)
assert_type(block.features, int)
assert_type(block.use_bias, bool)
assert_type(block.name, str | None)
assert_type(block(jnp.ones((1, 2)), train=True), jax.Array)
encoder = Encoder(sizes=[1, 2])
assert_type(encoder.width(), int)
assert_type(encoder.blocks, list[Block])
assert_type(block.clone(), Block)
assert_type(block.bind({}), Block)
assert_type(nn.Dense(3).features, int)

Block("four")  # error: arg-type
Block()  # error: call-arg
Block(4, True, nn.relu, None)  # error: call-arg
Block(4, "name")  # error: arg-type
Block(4, width=3)  # error: call-arg
Block(4, name=3)  # error: arg-type
feature = block.feature  # error: attr-defined
nn.Dense(features="three")  # error: arg-type
nn.Dens(3)  # error: attr-defined
print_table: Any = nn.tabulate
block(jnp.ones(2), train="yes")  # error: arg-type

variables = block.init(jax.random.key(0), jnp.ones((1, 2)))
block.init()  # error: call-arg
block.apply(variables, rng=jax.random.key(0), mutables=["state"])
block.apply(variables, jnp.ones((1, 2)), rngs={"dropout": jax.random.key(1)}, mutable=["state"])
block.apply([jnp.ones(2)], jnp.ones((1, 2)))  # error: arg-type
block.bind(3)  # error: arg-type
nn.apply(Encoder.__call__, Encoder)  # error: arg-type

assert_type(nn.jit(Block), type[Block])
nn.jit(Block, methods=["__call__"])
nn.remat(Block, methods={"__call__": {"static_argnums": (1,)}})
nn.remat(Block, methods="__call__")  # error: arg-type
nn.vmap(Block, in_axes=(0, None), methods=3)  # error: arg-type
nn.initializers.normal("wide")  # error: arg-type
nn.initializers.normal(jnp.ones(()), jnp.float32)
nn.initializers.variance_scaling(1.0, 3, "normal")  # error: arg-type
nn.leaky_relu(jnp.ones(2), "steep")  # error: arg-type


def keep(*args: jax.Array | None, dtype: Any = None, inexact: bool = True) -> list[Any]:
    return list(args)


nn.Dense(2, promote_dtype=keep)


class Doubled(nn.Sequential):
    def __call__(self, x: jax.Array) -> jax.Array:
        return x * 2


@struct.dataclass
class State:
    step: int
    params: Mapping[str, Any]
    apply: Callable[..., Any] = struct.field(pytree_node=False)


state = State(step=0, params={}, apply=block.apply)
assert_type(state.step, int)
State(step="zero", params={}, apply=print)  # error: arg-type
State(0)  # error: call-arg

store = nn.MemoryStore({"params": {"bias": np.zeros(3)}})
assert_type(store.capabilities, nn.StoreCapabilities)
assert_type(store.collections(), tuple[str, ...])
assert_type(store.children("params"), tuple[str, ...])
assert_type(store.snapshot(), dict[str, Any])
store.get("params", "bias")  # error: arg-type
block.apply(store, jnp.ones((1, 2)))
with store as entered:
    assert_type(entered, nn.MemoryStore)

try:
    block.apply({})
except errors.LinenError as error:
    assert_type(str(error), str)
