"""A run over a lazy store is that over plain dicts: mutable collections, leaves, transforms, entries and errors."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import linen_core as nn
from core.scope._lazy_stores import BIG, VARIABLES, Lazy, Log, Net, X, check_same, error_of, same
from linen_core import errors
from linen_core.scope.functional import apply as apply_scope

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


@pytest.mark.parametrize("surroundings", [jax.disable_jit, functools.partial(jax.debug_nans, True)])
def test_settings_of_jax(surroundings):
    with surroundings():
        store = check_same(Net(), BIG, X)
    assert len(store.batches) == 2


def test_leaks_are_checked():
    """With one layer: each trace looks through all objects of the process."""
    variables = nn.Dense(4).init(jax.random.key(0), X)
    with jax.checking_leaks():
        store = check_same(nn.Dense(4), variables, X)
    assert len(store.batches) == 1
