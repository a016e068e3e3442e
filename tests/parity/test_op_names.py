"""The names of compiled operations: each operation of a block carries the block's own path, as in flax."""

import re

import flax.linen as flax_nn
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

X = jnp.ones((2, 4))
BLOCKS = [f"block_{number}" for number in range(3)]


def stack(library, wrap):
    class Block(library.Module):
        @library.compact
        def __call__(self, x):
            return self.twice(library.tanh(library.Dense(4)(x)))

        def twice(self, x):
            return x * 2

    class Stack(library.Module):
        @library.compact
        def __call__(self, x):
            kind = wrap(library)(Block)
            for name in BLOCKS:
                x = kind(name=name)(x)
            return x

    return Stack()


def op_names(library, wrap, differentiate):
    """Return the paths of the modules in the names of a compiled program's operations."""
    model = stack(library, wrap)
    variables = model.init(jax.random.key(0), X)

    def loss(variables, x):
        return model.apply(variables, x).sum()

    run = jax.grad(loss, (0, 1)) if differentiate else loss
    text = jax.jit(run).lower(variables, X).compile().as_text()
    names = re.findall(r'op_name="([^"]*)"', text)
    return {
        own_path(name) for name in names if "block_" in name and not name.startswith("variables[")
    }


def own_path(name):
    """Leave out what transforms add to a name, and the operation, which XLA's fusions choose."""
    parts = [part for part in re.split(r"[/()]", name) if re.match(r"(Stack|block_|Dense_)", part)]
    parts = [part for part in parts if not part.endswith(".twice")]
    return tuple(dict.fromkeys(parts))


@pytest.mark.parametrize("differentiate", [False, True])
def test_operations_of_rematted_blocks_are_named_as_in_flax(differentiate):
    ours, expected = (
        op_names(library, lambda library: library.remat, differentiate) for library in (nn, flax_nn)
    )
    assert ours == expected
    assert ours >= {("Stack", block, "Dense_0") for block in BLOCKS}


@pytest.mark.parametrize("differentiate", [False, True])
def test_operations_of_jitted_blocks_are_named_as_without_jit(differentiate):
    """In flax they all carry the first block's name."""
    ours = op_names(nn, lambda library: library.jit, differentiate)
    plain = op_names(nn, lambda library: lambda block: block, differentiate)
    assert {path for path in ours if path[0] == "Stack"} == plain


def test_a_method_of_a_rematted_block_is_named_as_in_flax():
    names = []
    for library in (nn, flax_nn):
        model = stack(library, lambda library: library.remat)
        variables = model.init(jax.random.key(0), X)
        text = jax.jit(model.apply).lower(variables, X).as_text(debug_info=True)
        names.append(set(re.findall(r'"(jit[^"]*(?:mul|tanh|dot_general))"', text)))
    assert names[0] == names[1]
    assert "jit(apply)/Stack/checkpoint/block_0/block_0.twice/mul" in names[0]


def test_switched_off_names_stay_off():
    model = stack(nn, lambda library: library.remat)
    variables = model.init(jax.random.key(0), X)
    with nn.override_named_call(False):
        text = jax.jit(lambda v: model.apply(v, X)).lower(variables).as_text(debug_info=True)
    assert "checkpoint/tanh" in text
    assert "Stack/" not in text
