"""A run reads what it uses of a lazy store in one batch per collection."""

import functools
import gc
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core import errors
from linen_core.scope import planning
from linen_core.scope.functional import apply as apply_scope

X = jnp.arange(8.0).reshape(2, 4)


class Lazy(nn.MemoryStore):
    """Says that its reads do I/O, and writes each batch down."""

    writable = False

    def __init__(self, variables):
        super().__init__(variables)
        self.batches = []
        self.is_closed = False

    @property
    def capabilities(self):
        return nn.StoreCapabilities(lazy=True, writable=self.writable)

    def read(self, collection, paths):
        if self.is_closed:
            raise errors.StoreClosedError("Lazy")
        self.batches.append((collection, list(paths)))
        return super().read(collection, paths)

    def addresses(self):
        return {"/".join((col, *path)) for col, paths in self.batches for path in paths}


class Log:
    """The types of the inputs with which a body ran. A list in a field would become a tuple."""

    def __init__(self):
        self.types = []

    def add(self, x):
        self.types.append(type(x).__name__)


class Net(nn.Module):
    """Writes the runs of its body down in `log`."""

    log: Log | None = None

    def setup(self):
        self.first = nn.Dense(4)
        self.norm = nn.BatchNorm()
        self.head = nn.Dense(3)

    def __call__(self, x, train=False):
        if self.log is not None:
            self.log.add(x)
        return self.head(self.norm(self.first(x), use_running_average=not train))

    def features(self, x):
        return self.first(x)


VARIABLES = Net().init(jax.random.key(0), X)
BIG = {
    "params": {**VARIABLES["params"], "unused": {"kernel": jnp.ones(9)}},
    "batch_stats": {**VARIABLES["batch_stats"], "other": {"mean": jnp.ones(7)}},
    "opt_state": {"step": jnp.zeros(())},
}


def same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def check_same(model, variables, *args, **kwargs):
    """Apply a model to a lazy store and to a dict; return the store."""
    store = Lazy(variables)
    same(model.apply(store, *args, **kwargs), model.apply(variables, *args, **kwargs))
    return store


def error_of(model, variables, *args, **kwargs):
    with pytest.raises(Exception) as caught:
        model.apply(variables, *args, **kwargs)
    return type(caught.value), str(caught.value)


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


# Mutable collections


@pytest.mark.parametrize("mutable", [["batch_stats"], "batch_stats", True, nn.DenyList("params")])
def test_mutable_collections_are_returned_whole_after_one_read(mutable):
    store = check_same(Net(), BIG, X, True, mutable=mutable)
    collections = [col for col, _ in store.batches]
    assert len(collections) == len(set(collections))
    assert "batch_stats/other/mean" in store.addresses()
    if mutable is not True:
        assert "params/unused/kernel" not in store.addresses()
    assert ("opt_state" in collections) == (mutable not in (["batch_stats"], "batch_stats"))
    same(store.snapshot(), BIG)


def test_new_collections_are_returned():
    class Sows(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = self.perturb("input", nn.Dense(4)(x))
            self.sow("intermediates", "x", x)
            return x

    variables = Sows().init(jax.random.key(0), X)
    store = check_same(Sows(), variables, X, mutable=["intermediates"])
    assert store.addresses() == {
        "params/Dense_0/bias",
        "params/Dense_0/kernel",
        "perturbations/input",
    }
    check_same(Sows(), variables, X, capture_intermediates=True)


def test_the_store_factory_converts_only_what_is_returned():
    converted = []
    with nn.default_store(lambda collections: converted.append(collections) or collections):
        Net().apply(Lazy(BIG), X, mutable=["batch_stats"])
    assert len(converted) == 1


# Leaves and nodes


def test_leaves_of_every_kind():
    class Reads(nn.Module):
        @nn.compact
        def __call__(self, x):
            read = {name: self.get_variable("state", name) for name in names}
            key = read.pop("key")
            assert read.pop("text") == "linen"
            assert read.pop("none", 3) is None
            return read, jax.random.normal(key), self.get_variable("state", "lacks", x)

    state = {
        "text": "linen",
        "none": None,
        "pair": (jnp.ones(2), [jnp.zeros((), jnp.int8)]),
        "key": jax.random.key(1),
        "wide": np.ones(3, np.float64),
        "number": 3,
    }
    names = list(state)
    store = check_same(Reads(), {"state": state}, X)
    assert [len(paths) for _, paths in store.batches] == [6]


def test_a_node_is_read_as_a_dict_in_one_batch():
    class Nested(nn.Module):
        @nn.compact
        def __call__(self):
            tree = {"a": jnp.zeros(2), "b": {"c": jnp.zeros(3)}}
            param = self.param("tree", lambda key: tree)
            variable = self.variable("params", "more")
            assert all(type(one) is dict for one in (param, param["b"], variable.value))
            return param, variable.value, self.get_variable("params", "tree"), self.variables

    tree = {"a": jnp.ones(2), "b": {"c": jnp.ones(3)}}
    variables = {"params": {"tree": tree, "more": {"d": jnp.ones(1)}}}
    assert len(check_same(Nested(), variables).batches) == 1
    same(Nested().bind(Lazy(variables))()[0], tree)


# Transforms


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return nn.Dense(4)(x), None


LIFTED = {
    "remat": lambda: nn.remat(Block)(name="inner"),
    "jit": lambda: nn.jit(Block)(name="inner"),
    "vmap": lambda: nn.vmap(
        Block, variable_axes={"params": 0}, split_rngs={"params": True}, axis_size=2
    )(name="inner"),
    "scan": lambda: nn.scan(
        nn.remat(Block), variable_axes={"params": 0}, split_rngs={"params": True}, length=3
    )(name="inner"),
    "map_variables": lambda: nn.map_variables(
        Block, "params", lambda tree: jax.tree.map(lambda x: 2 * x, tree), init=True
    )(name="inner"),
}


class Lifts(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x):
        return LIFTED[self.kind]()(nn.Dense(4)(x), None)[0]


@pytest.mark.parametrize("kind", LIFTED)
def test_variables_that_enter_a_transform_are_read_before(kind):
    variables = Lifts(kind).init(jax.random.key(0), X)
    store = check_same(Lifts(kind), {**BIG, **variables}, X)
    assert [(col, len(paths)) for col, paths in store.batches] == [("params", 4)]
    Lifts(kind).apply(store, X)
    assert len(store.batches) == 2


def test_a_jax_transform_inside_the_run_sees_values_that_were_read():
    class Inside(nn.Module):
        def setup(self):
            self.scale = nn.Dense(4)

        def __call__(self, x):
            return jax.jit(lambda x: 2 * self.scale(x))(x) + self.scale(x)

    scale = nn.Dense(4).init(jax.random.key(0), X)["params"]
    store = check_same(Inside(), {"params": {"scale": scale}}, X)
    assert len(store.batches) == 1


def test_a_run_inside_a_trace_does_not_read():
    store = Lazy(BIG)
    with pytest.raises(errors.LazyStoreTracedError):
        jax.jit(lambda x: Net().apply(store, x))(X)
    assert store.batches == []


def test_arrays_with_explicit_axes_are_planned():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    rows = NamedSharding(mesh, PartitionSpec("data", None))
    variables = {"params": {"w": jax.device_put(jnp.ones((2, 4)), rows)}}

    def run(scope, x):
        w = scope.get_variable("params", "w")
        return jax.typeof(w).sharding.spec, (x + w).sum(), scope.get_variable("params", "v", 0)

    with jax.set_mesh(mesh):
        x = jax.device_put(X, rows)
        found = apply_scope(run)(Lazy(variables), x)
        assert found[0] == PartitionSpec("data", None)
        same(found[1:], apply_scope(run)(variables, x)[1:])


# Other entries


def test_functions_of_modules_and_scopes_are_planned():
    store = Lazy(BIG)
    run = nn.apply(lambda net, x: net.features(x), Net())
    same(run(store, X), run(BIG, X))
    assert [len(paths) for _, paths in store.batches] == [2]


def test_bind_reads_on_demand_without_a_trace():
    log, store = Log(), Lazy(BIG)
    bound = Net(log).bind(store)
    assert store.batches == []
    same(bound(X), Net().apply(BIG, X))
    assert log.types == ["ArrayImpl"]
    assert [len(paths) for _, paths in store.batches] == [1] * 8


def test_a_store_without_io_is_not_planned():
    log = Log()
    Net(log).apply(nn.MemoryStore(BIG), X)
    assert log.types == ["ArrayImpl"]


def test_threads_apply_one_store():
    store, expected, found = Lazy(BIG), Net().apply(BIG, X), []

    def work():
        barrier.wait()
        found.extend(Net().apply(store, X) for _ in range(5))

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for one in found:
        same(one, expected)
    assert {len(paths) for _, paths in store.batches} == {6, 2}


# Errors


def test_errors_are_those_of_a_dict():
    wrong_shape = {"params": {**BIG["params"], "head": {"kernel": jnp.ones(2), "bias": 0}}}
    nested = {"params": {"params": VARIABLES["params"]}}
    for variables in ({}, {"params": {}}, {"params": {"first": {}}}, wrong_shape, nested):
        assert error_of(Net(), Lazy(variables), X) == error_of(Net(), variables, X)
    args = ({1: X, "a": X},)  # JAX cannot sort these keys
    assert error_of(Net(), Lazy(BIG), *args) == error_of(Net(), BIG, *args)


def test_a_wrong_shape_is_reported_before_the_value_is_read():
    variables = {"params": {"kernel": jnp.ones((4, 2)), "bias": jnp.ones(5)}}
    store = Lazy(variables)
    with pytest.raises(errors.ScopeParamShapeError):
        nn.Dense(2).apply(store, X)
    assert store.batches == [("params", [("kernel",)])]


def test_a_store_with_a_wrong_spec_raises_the_error_of_its_value():
    class Lies(Lazy):
        def spec(self, collection, path=()):
            good = {"kernel": jax.ShapeDtypeStruct((4, 2), jnp.float32)}
            return good["kernel"] if path == ("kernel",) else super().spec(collection, path)

    variables = {"params": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(2)}}
    assert error_of(nn.Dense(2), Lies(variables), X) == error_of(nn.Dense(2), variables, X)


def test_a_closed_store_and_a_failing_read_raise_the_errors_of_the_store():
    class Fails(Lazy):
        def read(self, collection, paths):
            raise OSError("the disk is gone")

    log = Log()
    with pytest.raises(OSError, match="the disk is gone"):
        Net(log).apply(Fails(BIG), X)
    assert len(log.types) == 1  # the abstract run
    store = Lazy(BIG)
    Net().apply(store, X)
    store.is_closed = True
    with pytest.raises(errors.StoreClosedError):
        Net().apply(store, X)


def test_an_error_of_the_body_is_raised_by_the_run():
    class Fails(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.Dense(2)(x)
            raise ZeroDivisionError(type(x).__name__)

    variables = {"params": {"Dense_0": nn.Dense(2).init(jax.random.key(0), X)["params"]}}
    assert error_of(Fails(), Lazy(variables), X) == (ZeroDivisionError, "ArrayImpl")


@pytest.mark.parametrize(
    "surroundings", [jax.disable_jit, jax.checking_leaks, functools.partial(jax.debug_nans, True)]
)
def test_settings_of_jax(surroundings):
    with surroundings():
        store = check_same(Net(), BIG, X)
    assert len(store.batches) == 2
