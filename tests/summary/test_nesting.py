"""Calls inside of others are counted once, and the others' FLOPs are what they are without that."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import linen_core as nn
from linen_summary import summarize
from linen_summary._nesting import Nesting

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
X = jnp.ones((2, 4))
RUNS = []


class Block(nn.Module):
    """Stands for a call that holds others."""

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(4)(x))


class Deep(nn.Module):
    levels: int

    @nn.compact
    def __call__(self, x):
        RUNS.append(self.levels)
        x = nn.relu(nn.Dense(4)(x))
        return Deep(self.levels - 1)(x) if self.levels else x


class Doing(nn.Module):
    """Runs a function of itself and the input."""

    what: str

    @nn.compact
    def __call__(self, x):
        return HABITS[self.what](self, x)


class Returns(nn.Module):
    """Returns what a function makes of a layer's input and output."""

    what: str

    @nn.compact
    def __call__(self, x):
        return RESULTS[self.what](x, nn.Dense(4)(x))


class Tokens(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        return nn.LayerNorm()(nn.Embed(5, 4)(tokens))


class Positions(nn.Module):
    @nn.compact
    def __call__(self):
        return nn.tanh(nn.Embed(2, 4)(jnp.arange(2)))


class Named(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(4)(x)
        return jnp.sin(y) * 2 if self.name == "named" else y


class AsksParent(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(4)(x)
        return y + 1 if isinstance(self.parent, nn.Module) and self.parent.what == "parent" else y


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: jnp.zeros(()))
        mean = self.variable("state", "mean", lambda: jnp.zeros(4))
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(4)(x))
        count.value += 1
        mean.value = mean.value * 0.5 + x.mean(0)
        return x - mean.value


class Sowing(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Dense(4)(x)
        self.sow("losses", "size", (y**2).sum(), reduce_fn=jnp.add, init_fn=lambda: 0.0)
        return self.perturb("noise", y)


class Shared(nn.Module):
    inner: nn.Module

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(self.inner(x))


class Tied(nn.Module):
    """One of its methods is called from outside."""

    def setup(self):
        self.embed = nn.Embed(4, 4)
        self.block = Block()

    def __call__(self, x):
        return self.block(self.attend(x))

    def attend(self, x):
        return self.embed.attend(x)


class Prepared(nn.Module):
    def setup(self):
        self.scale = self.param("scale", nn.initializers.ones, (4,))
        self.blocks = [Tied(), Block()]

    def __call__(self, x):
        for block in self.blocks:
            x = block(x) * self.scale
        return x


def attending(module, x):
    return module.blocks[0].attend(module(x))


def twice(module, x):
    return module(module(x))


def intercepted(module, x):
    double = lambda next_fun, args, kwargs, context: 2 * next_fun(*args, **kwargs)
    with nn.intercept_methods(double):
        return Block()(x)


def looped(module, x):
    block = Block()
    block(x)
    return lax.fori_loop(0, 1, lambda _, x: x + 1, block(x))


def tied(module, x):
    part = Tied(name="part")
    return part.attend(part(x))


def regularized(module, x):
    y = Block()(x)
    return y, sum((leaf**2).sum() for leaf in jax.tree.leaves(module.variables["params"]))


def counted_parameters(module, x):
    y = Block(name="block")(x)
    return y * sum(leaf.size for leaf in jax.tree.leaves(module.variables["params"]))


def reads_inner(module, x):
    block = Block(name="block")
    y = block(x)
    return y @ block.variables["params"]["Dense_0"]["kernel"].T


def losses(module, x):
    y = Sowing()(x)
    return y, sum(jax.tree.leaves(module.variables.get("losses", {})), start=0.0)


def handed_module(module, x):
    block = Block()
    return Shared(block)(x) + block(x)


def bound_argument(module, x):
    class Caller(nn.Module):
        @nn.compact
        def __call__(self, block, x):
            return nn.Dense(4)(block(x))

    return Caller()(Block(), x)


HABITS = {
    "twice": lambda m, x: Block(name="a")(Block(name="b")(x)),
    "one block twice": lambda m, x: twice(Block(), x),
    "state twice": lambda m, x: twice(Counting(), x),
    "setup": lambda m, x: Prepared()(x),
    "setup from outside": lambda m, x: attending(Prepared(), x),
    "sequences": lambda m, x: nn.Sequential([nn.Sequential([Prepared(), nn.Dense(4)])])(x),
    "state": lambda m, x: Counting()(Block()(x)),
    "tokens": lambda m, x: Block()(Tokens()(x.argmax(-1))),
    "positions": lambda m, x: Block()(x + Positions()()),
    "name": lambda m, x: Named(name="named")(Named(name="other")(x)),
    "parent": lambda m, x: AsksParent()(x),
    "sowing": lambda m, x: Sowing()(Sowing()(x)),
    "losses": losses,
    "constant input": lambda m, x: Block()(jnp.ones((2, 4))) + x,
    "stopped input": lambda m, x: Block()(lax.stop_gradient(x)) + x,
    "stopped output": lambda m, x: lax.stop_gradient(Block()(x)) + x,
    "unused": lambda m, x: (Block()(x), x)[1],
    "weak input": lambda m, x: Block()(jnp.full((2, 4), 1.0) * 2.0),
    "half input": lambda m, x: Block()(x.astype(jnp.bfloat16)),
    "same input twice": lambda m, x: Block(name="a")(x) * Block(name="b")(x) + x,
    "gradient": lambda m, x: nn.grad(lambda b, x: b(x).sum(), Block(), x) and x,
    "scan": lambda m, x: nn.scan(
        lambda b, x, _: (b(x), None),
        variable_broadcast="params",
        split_rngs={"params": False},
        length=2,
    )(Block(), x, None)[0],
    "vmap": lambda m, x: nn.vmap(
        Block, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2
    )()(x),
    "remat": lambda m, x: nn.remat(Deep)(1)(x),
    "jit": lambda m, x: nn.jit(Deep)(1)(x),
    "cond": lambda m, x: nn.cond(True, lambda b, x: b(x), lambda b, x: b(x) * 2, Block(), x),
    "map_variables": lambda m, x: nn.map_variables(
        Block, "params", lambda p: jax.tree.map(lambda a: 2 * a, p), init=m.is_initializing()
    )()(x),
    "weight norm": lambda m, x: Block()(nn.WeightNorm(nn.Dense(4))(x)),
    "sequential": lambda m, x: nn.Sequential([Block(), nn.Sequential([Deep(1), nn.relu])])(x),
    "interceptor": intercepted,
    "loop": looped,
    "other method": tied,
    "regularized": regularized,
    "sizes": counted_parameters,
    "inner variables": reads_inner,
    "handed module": handed_module,
    "bound argument": bound_argument,
    "dropout": lambda m, x: nn.Dropout(0.5, deterministic=False)(Doing("noise")(x)),
    "noise": lambda m, x: Block()(x) + jax.random.normal(m.make_rng("dropout"), x.shape),
    "attention": lambda m, x: Block()(nn.MultiHeadDotProductAttention(2)(x[None])[0]),
    "keys": lambda m, x: Block()(x + jax.random.uniform(m.make_rng("dropout"), (4,))),
    "none": lambda m, x: x,
}

RESULTS = {
    "pair": lambda x, y: (y, y + x),
    "itself": lambda x, y: (x, y),
    "constant": lambda x, y: (y, jnp.zeros(4)),
    "integer": lambda x, y: (y, y.argmax(-1)),
    "stopped": lambda x, y: (y, lax.stop_gradient(y)),
    "numbers": lambda x, y: (y, 3, None, "text", 1.5),
    "dict": lambda x, y: {"a": y, "b": [y * 2, {}]},
    "function": lambda x, y: (y, lambda z: z * y),
    "key": lambda x, y: (y, jax.random.key(0)),
}


def use(results, x):
    """Use some of what a module returned."""
    leaves = jax.tree.leaves(results)
    arrays = [a for a in leaves if isinstance(a, jax.Array) and a.dtype == x.dtype]
    return sum((array * x if array.shape == x.shape else x + array for array in arrays[:2]), x)


def returned(name):
    return lambda module, x: use(Returns(name)(x), x)


HABITS |= {f"returns {name}": returned(name) for name in RESULTS}


class Outer(nn.Module):
    """Does several things one after the other, with levels around them."""

    plan: tuple

    @nn.compact
    def __call__(self, x):
        for part in self.plan:
            made = (Outer(part) if isinstance(part, tuple) else Doing(part))(x)
            x = x + jax.tree.leaves(made)[0]
        return x


def numbers(module):
    table = summarize(module, RNGS, X, compute_flops=True, compute_vjp_flops=True)
    return [(row.name, row.method, row.flops, row.vjp_flops, row.unknown) for row in table]


def assert_same_without(module):
    found = numbers(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Nesting, "count", lambda self, standalone, inner, backwards: None)
        assert found == numbers(module)
    return found


@pytest.mark.parametrize("levels", [5, 20])
def test_each_level_is_traced_as_often_however_many_there_are(levels):
    RUNS.clear()
    rows = numbers(Deep(levels))
    times = {RUNS.count(level) for level in range(1, levels)}
    assert times == {3}  # recorded, counted, and counted with its way back
    assert len(rows) == 2 * levels + 2


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_levels_that_have_no_rows_are_traced_with_those_that_have(depth):
    shown = summarize(Deep(4), RNGS, X, depth=depth, compute_flops=True, compute_vjp_flops=True)
    every = numbers(Deep(4))
    assert [(row.name, row.flops, row.vjp_flops) for row in shown] == [
        (name, flops, vjp_flops)
        for name, _, flops, vjp_flops, _ in every
        if not name or name.count("/") < depth
    ]


@pytest.mark.parametrize("habit", HABITS)
def test_habit(habit):
    assert_same_without(Outer((("none", (habit,)), habit)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    plan=st.recursive(
        st.sampled_from(sorted(HABITS)),
        lambda inner: st.lists(inner, min_size=1, max_size=3).map(tuple),
        max_leaves=5,
    )
)
def test_drawn(plan):
    assert_same_without(Outer(plan if isinstance(plan, tuple) else (plan,)))
