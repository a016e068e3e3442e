"""StoreView: a store as nested mappings that read one value at a time, or a node in one batch."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from linen_core import errors
from linen_core._jax_compat import trace_context
from linen_core.store.base import StoreCapabilities
from linen_core.store.memory import MemoryStore
from linen_core.store.view import StoreView, as_store, readable, snapshot_mapping, working_copy

TREE = {"params": {"b": {"kernel": 1.0, "bias": 2.0}, "a": 3.0, "empty": {}}, "state": {"n": 4.0}}
names = st.sampled_from(["a", "b", "c"])
nodes = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6
)


class Recording(MemoryStore):
    """Writes down each batch that is read."""

    lazy = False

    def __init__(self, variables=TREE):
        super().__init__(variables)
        self.batches = []

    @property
    def capabilities(self):
        return StoreCapabilities(lazy=self.lazy)

    def read(self, collection, paths):
        self.batches.append((collection, list(paths)))
        return super().read(collection, paths)


class Lazy(Recording):
    lazy = True


@given(st.dictionaries(names, nodes, max_size=3))
def test_a_view_is_the_mapping_of_its_node(tree):
    view = StoreView(MemoryStore({"params": tree}), "params")

    def same(view, node):
        if not isinstance(node, dict):
            return view == node
        return list(view) == list(node) and all(same(view[name], node[name]) for name in node)

    assert same(view, tree)
    assert len(view) == len(tree)
    assert view.snapshot() == tree


def test_values_are_read_one_by_one_when_they_are_looked_up():
    store = Recording()
    view = StoreView(store, "params")
    node = view["b"]
    assert list(node) == ["kernel", "bias"]
    assert "kernel" in node
    assert len(node) == 2
    assert store.batches == []
    assert (node["bias"], view["a"], node["bias"]) == (2.0, 3.0, 2.0)
    assert store.batches == [("params", [path]) for path in (("b", "bias"), ("a",), ("b", "bias"))]


def test_a_node_is_one_view():
    view = StoreView(Recording(), "params")
    assert view["b"] is view["b"]
    assert isinstance(view["empty"], StoreView)
    assert dict(view["empty"]) == {}


@pytest.mark.parametrize("name", ["x", "kernel", 3, None, ("b", "bias")])
def test_a_missing_name_is_a_key_error(name):
    view = StoreView(Recording(), "params")
    assert name not in view
    assert view.get(name, "default") == "default"
    with pytest.raises(KeyError) as caught:
        view[name]
    assert caught.value.args == (name,)


def test_specs_are_described_without_reading():
    store = Recording({"params": {"b": {"w": jnp.ones((2, 3))}}})
    view = StoreView(store, "params")
    assert view["b"].spec("w").shape == (2, 3)
    assert view.spec("b")["w"].dtype == jnp.float32
    assert store.batches == []


def test_a_snapshot_reads_a_node_in_one_batch():
    store = Recording()
    assert StoreView(store, "params", ("b",)).snapshot() == {"kernel": 1.0, "bias": 2.0}
    assert store.batches == [("params", [("b", "kernel"), ("b", "bias")])]


def test_values_that_were_read_are_not_read_again():
    store = Lazy()
    view = StoreView(store, "params", (), {("b", "bias"): 7.0, ("a",): 8.0})
    assert (view["a"], view["b"]["bias"]) == (8.0, 7.0)
    assert store.batches == []
    assert view["b"].snapshot() == {"kernel": 1.0, "bias": 7.0}
    assert store.batches == [("params", [("b", "kernel")])]


def test_a_node_that_was_read_may_be_copied_under_a_trace():
    store = Lazy()
    view = StoreView(store, "params", (), {("b", "bias"): 7.0, ("b", "kernel"): 8.0})
    assert jax.jit(lambda: view["b"].snapshot()["bias"])() == 7.0
    assert store.batches == []


def test_a_view_with_a_home_reads_there():
    store = Lazy({"params": {"a": {"w": np.ones(3)}}})
    views = readable(store, home=trace_context.trace)

    def total():
        value = jnp.asarray(views["params"]["a"]["w"])
        assert type(views["params"]["a"].snapshot()["w"]) is np.ndarray
        return value.sum()

    assert jax.jit(total)() == 3.0
    assert len(store.batches) == 2


LOOKUPS = {
    "a value": (lambda view: view["b"]["bias"], "params/b/bias", ("b", "bias")),
    "a node": (lambda view: view["b"].snapshot(), "params/b", ("b",)),
    "a collection": (lambda view: view.snapshot(), "params", ()),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_a_lazy_store_is_not_read_under_a_trace(name):
    look_up, address, path = LOOKUPS[name]
    store = Lazy()
    view = StoreView(store, "params")
    with pytest.raises(errors.LazyStoreTracedError) as caught:
        jax.make_jaxpr(lambda: look_up(view))()
    assert caught.value.address == address
    assert str(caught.value) == str(errors.LazyStoreTracedError("Lazy", "params", path))
    assert store.batches == []
    look_up(view)  # outside the trace it can be read
    assert len(store.batches) == 1


def test_a_node_without_values_may_be_read_under_a_trace():
    view = StoreView(Lazy(), "params")
    jax.make_jaxpr(view["empty"].snapshot)()
    assert list(view["empty"]) == []


def test_another_store_may_be_read_under_a_trace():
    view = StoreView(Recording(), "params")
    assert jax.jit(lambda: view["a"] + view["b"].snapshot()["bias"])() == 5.0


def test_the_representation_names_store_and_path():
    assert repr(StoreView(Recording(), "params")["b"]) == "StoreView(Recording, 'params/b')"


def test_as_store_takes_stores_and_mappings():
    store = Recording()
    assert as_store(store) is store
    for mapping in (TREE, types.MappingProxyType(TREE)):
        assert as_store(mapping).variables is mapping


@pytest.mark.parametrize("convert", [as_store, readable])
@pytest.mark.parametrize("wrong", [None, 3, [("params", {})], "params"], ids=str)
def test_other_variables_are_refused(convert, wrong):
    with pytest.raises(errors.ApplyScopeInvalidVariablesTypeError) as caught:
        convert(wrong)
    assert str(caught.value).startswith("Invalid variables: expected a dict of collections")
    assert type(wrong).__name__ in str(caught.value)


def test_readable_variables_are_mappings_or_views():
    assert readable(TREE) is TREE
    views = readable(Recording())
    assert list(views) == ["params", "state"]
    assert all(type(view) is StoreView for view in views.values())
    assert views["state"]["n"] == 4.0


def test_a_copied_mapping_shares_its_values():
    value = jnp.ones(3)
    source = types.MappingProxyType({"a": types.MappingProxyType({"w": value}), "b": [1]})
    copy = snapshot_mapping(source)
    assert (type(copy), type(copy["a"])) == (dict, dict)
    assert copy["a"]["w"] is value
    assert copy["b"] is source["b"]


def test_a_copied_view_is_read_in_one_batch():
    store = Recording()
    copy = snapshot_mapping({"params": StoreView(store, "params"), "more": 1})
    assert copy == {"params": TREE["params"], "more": 1}
    assert len(store.batches) == 1


@pytest.mark.parametrize(
    ("mutable", "copied"),
    [
        (False, []),
        (True, ["params", "state"]),
        ("state", ["state"]),
        (["params"], ["params"]),
        (nn.DenyList("params"), ["state"]),
        ("other", []),
    ],
)
def test_a_working_copy_copies_the_mutable_collections(mutable, copied):
    working = working_copy(TREE, mutable)
    assert working == TREE
    assert working is not TREE
    assert [name for name in TREE if working[name] is not TREE[name]] == copied


def test_a_working_copy_reads_only_mutable_collections():
    store = Recording()
    working = working_copy(readable(store), "state")
    assert store.batches == [("state", [("n",)])]
    assert (type(working["params"]), working["state"]) == (StoreView, {"n": 4.0})
