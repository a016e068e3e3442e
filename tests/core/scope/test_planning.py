"""A run reads what it uses of a lazy store in one batch per collection, and remembers what that is."""

import gc
import weakref

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from core.scope._lazy_stores import BIG, Lazy, Log, Net, X, check_same, same
from linen_core.scope import planning
from linen_core.scope.functional import apply as apply_scope


def test_exactly_the_used_leaves_are_read_in_one_batch_per_collection():
    store = check_same(Net(), BIG, X)
    assert [col for col, _ in store.batches] == ["params", "batch_stats"]
    assert len(store.addresses()) == sum(len(paths) for _, paths in store.batches) == 8
    assert not {name for name in store.addresses() if "unused" in name or "other" in name}


def test_another_method_reads_other_leaves():
    store = check_same(Net(), BIG, X, method="features")
    assert store.batches == [("params", [("first", "kernel"), ("first", "bias")])]


def test_the_body_is_traced_once_for_equal_calls():
    log, store = Log(), Lazy(BIG)
    for _ in range(3):
        Net(log).apply(store, X)
    assert "Tracer" in log.types[0]
    assert log.types[1:] == ["ArrayImpl"] * 3
    assert len(store.batches) == 6
    Net(log).apply(store, X + 1)  # other values
    assert len(log.types) == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda model, store: model.apply(store, jnp.ones((3, 4))),
        lambda model, store: model.apply(store, X, True, mutable=["batch_stats"]),
        lambda model, store: model.apply(store, X, mutable=["batch_stats"]),
        lambda model, store: model.apply(store, X, capture_intermediates=True),
        lambda model, store: model.apply(Lazy(BIG), X),
    ],
)
def test_calls_that_differ_are_traced_anew(change):
    log, store = Log(), Lazy(BIG)
    Net(log).apply(store, X)
    change(Net(log), store)
    assert len(log.types) == 4
    assert "Tracer" in log.types[2]


def test_interceptors_take_part_in_the_plan():
    def skip_norm(call, args, kwargs, context):
        return args[0] if isinstance(context.module, nn.BatchNorm) else call(*args, **kwargs)

    store = Lazy(BIG)
    Net().apply(store, X)
    with nn.intercept_methods(skip_norm):
        found = Net().apply(store, X)
        same(found, Net().apply(BIG, X))
    assert [col for col, _ in store.batches] == ["params", "batch_stats", "params"]


def test_what_may_change_is_not_remembered():
    class Scaled(nn.Module):
        scale: jax.Array

        @nn.compact
        def __call__(self, x):
            ran.append(type(x).__name__)
            return self.scale * nn.Dense(2)(x)

    ran = []
    model = Scaled(jnp.ones(2))
    variables = model.init(jax.random.key(0), X)
    ran.clear()
    store = Lazy(variables)
    before = len(planning._plans)
    for _ in range(2):
        same(model.apply(store, X), model.apply(variables, X))
    assert sum("Tracer" in name for name in ran) == 2
    assert len(planning._plans) == before
    assert [len(paths) for _, paths in store.batches] == [2, 2]


def test_a_writable_store_is_planned_each_time():
    store = Lazy({"params": {"w": jnp.ones(2)}, "state": {}})
    store.writable = True

    def either(scope):
        kind, name = ("state", "n") if scope.has_variable("state", "n") else ("params", "w")
        return scope.get_variable(kind, name)

    same(apply_scope(either)(store), jnp.ones(2))
    store.put("state", ("n",), jnp.zeros(3))
    same(apply_scope(either)(store), jnp.zeros(3))
    assert store.batches == [("params", [("w",)]), ("state", [("n",)])]


def test_a_store_that_changed_is_read_on_demand():
    variables = {"params": {"a": jnp.ones(2), "b": jnp.zeros(2)}}
    store = Lazy(variables)
    run = apply_scope(lambda scope: [scope.get_variable("params", name, 7) for name in "ab"])
    run(store)
    del variables["params"]["a"]
    first, second = run(store)
    assert first == 7
    same(second, jnp.zeros(2))


def test_neither_stores_nor_objects_are_kept_alive():
    class Config:
        pass

    class Model(nn.Module):
        config: Config

        @nn.compact
        def __call__(self, x, size):
            return nn.Dense(2)(x)

    config, x, store = Config(), X + 1, Lazy({"params": nn.Dense(4).init(jax.random.key(0), X)})
    alive = [weakref.ref(one) for one in (config, store, Model, x)]
    variables = Model(config).init(jax.random.key(0), x, 1)
    store.variables = variables
    Model(config).apply(store, x, 1)
    del config, x, store, variables, Model, Config
    gc.collect()
    assert [one() for one in alive] == [None] * 4


def test_the_number_of_plans_is_bounded(monkeypatch):
    monkeypatch.setattr(planning, "_plans", {})
    monkeypatch.setattr(planning, "_MAX_PLANS", 3)
    store = Lazy(BIG)
    for size in range(1, 9):
        Net().apply(store, jnp.ones((size, 4)))
        assert 0 < len(planning._plans) <= 3


# Values that decide


class ByValue(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(4, name="a")(x)
        if float(x.sum()) > 0:
            return nn.Dense(4, name="b")(x)
        return nn.Dense(2, name="c")(x)


@pytest.mark.parametrize("sign", [1, -1])
def test_reads_that_depend_on_values_happen_on_demand(sign):
    dense = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    small = {"kernel": jnp.ones((4, 2)), "bias": jnp.zeros(2)}
    variables = {"params": {"a": dense, "b": dense, "c": small}}
    store = check_same(ByValue(), variables, sign * jnp.ones((1, 4)))
    taken = "b" if sign > 0 else "c"
    paths = [[("a", "kernel"), ("a", "bias")], [(taken, "kernel")], [(taken, "bias")]]
    assert store.batches == [("params", one) for one in paths]


def test_reads_on_demand_inside_a_jax_transform_are_constants():
    class Energy(nn.Module):
        @nn.compact
        def __call__(self, x):
            w = nn.Dense(4, name="a")
            total = float(w(x).sum())
            scale = self.variable("params", "scale")
            tree = jax.jit(lambda x: {"x": x, **self.get_variable("params", "b")})(x)
            return jax.grad(lambda x: (scale.value * x).sum() * total)(x), tree

    dense = {"kernel": jnp.eye(4), "bias": jnp.zeros(4)}
    numbers = {"c": jnp.ones(2), "d": jnp.zeros(3)}
    variables = {"params": {"a": dense, "b": numbers, "scale": jnp.full(4, 2.0)}}
    store = check_same(Energy(), variables, X)
    assert [len(paths) for _, paths in store.batches] == [2, 2, 1]


def test_a_plan_that_lacks_a_leaf_is_completed():
    names = ["a"]
    run = apply_scope(lambda scope: [scope.get_variable("params", name) for name in names])
    variables = {"params": {"a": jnp.ones(1), "b": jnp.ones(2)}}
    store = Lazy(variables)
    run(store)
    names.append("b")
    same(run(store), run(variables))
    assert store.batches == [("params", [("a",)]), ("params", [("a",)]), ("params", [("b",)])]
