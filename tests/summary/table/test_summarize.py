"""A table has every call and every variable of a model once."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linen_core as nn
import linen_summary
from linen_summary import summarize
from parity._tabulated import MODELS

KEY = jax.random.key(0)
RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout", "noise", "carry"))}
X = jax.ShapeDtypeStruct((2, 3), jnp.float32)


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2)(nn.relu(nn.Dense(4)(x)))


def total_size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("depth", [None, 0, 1])
def test_counts_are_those_of_init(name, depth):
    module, args, *kwargs = MODELS[name](nn)
    kwargs = kwargs[0] if kwargs else {}
    table = summarize(module, RNGS, *args, depth=depth, **kwargs)
    variables = jax.eval_shape(lambda: module.init(RNGS, *args, **kwargs))
    for collection in variables:
        assert table.totals()[collection][0] == total_size(variables[collection])
    assert table.collections == tuple(sorted(variables))


KINDS = st.recursive(
    st.sampled_from(["dense", "norm", "param", "shared"]),
    lambda inner: st.tuples(
        st.sampled_from(["plain", "remat", "scan", "vmap", "jit"]), st.lists(inner, max_size=3)
    ),
    max_leaves=6,
)


class Drawn(nn.Module):
    plan: tuple
    shared: nn.Module | None = None

    @nn.compact
    def __call__(self, x):
        for number, part in enumerate(self.plan):
            x = self.part(number, part, x)
        return x

    @nn.nowrap
    def part(self, number, part, x):
        if part == "dense":
            return nn.Dense(3)(x)
        if part == "norm":
            return nn.BatchNorm(use_running_average=False)(x)
        if part == "param":
            return x + self.param(f"own_{number}", nn.initializers.ones, (3,))
        if part == "shared":
            return self.shared(x) if self.shared is not None else x
        kind, inner = part
        cls = Drawn
        lifted = {"variable_axes": {"params": 0, "batch_stats": 0}, "split_rngs": {"params": True}}
        if kind == "scan":
            cls = nn.scan(Step, length=2, **lifted)
            return cls(tuple(inner))(x, None)[0]
        if kind == "vmap":
            return nn.vmap(Drawn, in_axes=None, axis_size=2, **lifted)(tuple(inner))(x).sum(0)
        if kind in ("remat", "jit"):
            cls = getattr(nn, kind)(Drawn)
        return cls(tuple(inner))(x)


class Step(nn.Module):
    plan: tuple

    @nn.compact
    def __call__(self, x, _):
        return Drawn(self.plan)(x), None


@settings(max_examples=30, deadline=None, derandomize=True)
@given(plan=st.lists(KINDS, max_size=4), depth=st.sampled_from([None, 0, 1, 2, 3]))
def test_counts_of_drawn_models(plan, depth):
    class Root(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Drawn(tuple(plan), nn.Dense(3, name="shared_layer"))(x)

    table = summarize(Root(), KEY, X, depth=depth)
    variables = jax.eval_shape(Root().init, KEY, X)
    assert {name: size for name, (size, _) in table.totals().items()} == {
        name: total_size(tree) for name, tree in variables.items()
    }
    paths = {
        tuple(key.key for key in path[1:])
        for path, _ in jax.tree_util.tree_leaves_with_path(variables)
    }
    for row in table:
        leaves = jax.tree_util.tree_leaves_with_path(row.module_variables)
        for path, _ in leaves:
            assert (*row.path, *(key.key for key in path[1:])) in paths


def test_shared_modules_are_counted_once_and_marked():
    module, args = MODELS["shared"](nn)
    table = summarize(module, RNGS, *args)
    assert [row.calls for row in table if row.path == ("Dense_0",)] == [3]
    assert table.hidden_calls == 2
    note = "2 further calls of modules above: show_repeated=True shows them."
    assert note in str(table).splitlines()
    shown = summarize(module, RNGS, *args, show_repeated=True)
    assert [row.repeated for row in shown if row.path == ("Dense_0",)] == [False, True, True]
    assert shown.hidden_calls == 0
    assert shown.size == table.size


def test_variables_of_modules_that_are_not_called_are_counted():
    class Quiet(nn.Module):
        def setup(self):
            self.weight = self.param("weight", nn.initializers.ones, (5,))

    class Root(nn.Module):
        def setup(self):
            self.quiet = Quiet()
            self.loud = nn.Dense(2)

        def __call__(self, x):
            return self.loud(x) + self.quiet.weight[0]

    table = summarize(Root(), KEY, X)
    assert table[0].module_variables["params"] == {
        "quiet": {"weight": jax.ShapeDtypeStruct((5,), jnp.float32)}
    }
    assert table.size == 13


def test_root_that_is_not_called_has_a_row():
    class Root(nn.Module):
        def setup(self):
            self.own = self.param("own", nn.initializers.ones, (7,))
            self.child = nn.Dense(2)

    table = summarize(Root(), KEY, X, method=lambda module, x: module.child(x) + module.own[0])
    assert [(row.name, row.method, row.size) for row in table] == [
        ("", "", 7),
        ("child", "__call__", 8),
    ]
    uncalled = summarize(
        Root(), KEY, X, method=lambda module, x: module.child(x) + module.own[0], compute_flops=True
    )
    assert uncalled[0].flops_note == "no method of it was called."


def test_public_names():
    assert set(linen_summary.__all__) >= {"Row", "Table", "summarize", "tabulate"}
