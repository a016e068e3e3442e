"""MemoryStore: a store over nested mappings, with the order of names, specs and errors."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from linen_core import errors
from linen_core.store.memory import MemoryStore, value_spec

names = st.sampled_from(["a", "b", "c"])
nodes = st.recursive(
    st.integers(0, 9), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6
)
trees = st.dictionaries(names, st.dictionaries(names, nodes, max_size=3), max_size=2)
paths = st.lists(names, min_size=1, max_size=3).map(tuple)


def variables():
    return {
        "params": {"b": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "a": np.float32(1.0)},
        "empty": {},
    }


def leaf_paths(tree, path=()):
    if not isinstance(tree, dict):
        return [path]
    return [leaf for name, child in tree.items() for leaf in leaf_paths(child, (*path, name))]


@given(trees)
def test_a_snapshot_is_an_equal_copy(tree):
    store = MemoryStore(tree)
    copy = store.snapshot()
    assert copy == tree
    assert store.collections() == tuple(tree)
    for name in tree:
        assert copy[name] is not tree[name]
        assert list(store.leaves(name)) == leaf_paths(tree[name])
        assert store.read(name, store.leaves(name)) == [
            store.get(name, path) for path in store.leaves(name)
        ]


@given(trees, paths, st.integers())
def test_a_value_that_was_put_is_found(tree, path, value):
    store = MemoryStore(tree)
    try:
        store.put("params", path, value)
    except errors.StorePathError:  # the path leads through a leaf
        return
    assert store.get("params", path) == value
    assert store.is_leaf("params", path)
    assert all(store.contains("params", path[:depth]) for depth in range(len(path)))
    store.delete("params", path)
    assert not store.contains("params", path)
    assert store.contains("params", path[:-1])


def test_children_keep_the_stored_order():
    store = MemoryStore(variables())
    assert store.collections() == ("params", "empty")
    assert store.children("params") == ("b", "a")
    assert store.children("params", ("b",)) == ("kernel", "bias")
    assert store.children("params", ("a",)) == store.children("empty") == ()


@pytest.mark.parametrize(
    ("path", "contained", "leaf"),
    [
        ((), True, False),
        (("b",), True, False),
        (("b", "bias"), True, True),
        (("a",), True, True),
        (("c",), False, False),
        (("a", "x"), False, False),
        (("b", "x", "y"), False, False),
    ],
)
def test_leaves_and_nodes_are_told_apart(path, contained, leaf):
    store = MemoryStore(variables())
    assert store.contains("params", path) is contained
    assert store.is_leaf("params", path) is leaf


def test_reading_returns_the_stored_objects_in_order():
    tree = variables()
    found = MemoryStore(tree).read("params", [("a",), ("b", "bias"), ("a",)])
    for one, other in zip(found, [tree["params"]["a"], tree["params"]["b"]["bias"], tree["params"]["a"]], strict=True):  # fmt: skip
        assert one is other


def test_specs_describe_without_reading():
    store = MemoryStore(variables())
    bias = jax.ShapeDtypeStruct((3,), jnp.float32)
    assert store.spec("params", ("b", "bias")).shape == (3,)
    spec = store.spec("params")
    assert list(spec) == ["b", "a"]
    assert (spec["b"]["bias"].shape, spec["b"]["bias"].dtype) == (bias.shape, bias.dtype)
    assert spec["a"] == jax.ShapeDtypeStruct((), jnp.float32)
    assert store.spec("empty") == {}


@pytest.mark.parametrize(
    ("value", "shape", "dtype"),
    [
        (True, (), "bool"),
        (3, (), "int64"),
        (1.5, (), "float64"),
        (2j, (), "complex128"),
        (np.zeros((2, 1), np.int8), (2, 1), "int8"),
        (jnp.ones(4, jnp.bfloat16), (4,), "bfloat16"),
        (jax.ShapeDtypeStruct((5,), jnp.float16), (5,), "float16"),
    ],
    ids=str,
)
def test_the_spec_of_a_value(value, shape, dtype):
    spec = value_spec(value)
    assert (spec.shape, str(spec.dtype)) == (shape, dtype)


def test_the_spec_of_other_values_is_the_value():
    assert value_spec({"a": "text", "b": None, "c": 1}) == {
        "a": "text",
        "b": None,
        "c": jax.ShapeDtypeStruct((), np.int64),
    }


def test_a_spec_has_the_sharding_of_an_array_outside_a_trace():
    x = jnp.ones(3)
    assert value_spec(x).sharding == x.sharding
    assert value_spec(np.ones(3)).sharding is None
    inside = []
    jax.make_jaxpr(lambda x: inside.append(value_spec(x)))(x)
    assert (inside[0].shape, inside[0].sharding) == ((3,), None)


def test_a_replaced_leaf_keeps_its_place_and_a_new_one_comes_last():
    store = MemoryStore({"params": {"b": 1, "a": 2}})
    store.put("params", ("b",), 3)
    store.put("params", ("new", "deep"), 4)
    store.put("state", ("n",), 5)
    assert list(store.variables) == ["params", "state"]
    assert list(store.variables["params"].items()) == [("b", 3), ("a", 2), ("new", {"deep": 4})]
    store.put("params", ("new",), 6)
    assert store.get("params", ("new",)) == 6


def test_deleting_keeps_the_node_above():
    store = MemoryStore({"params": {"b": {"w": 1}, "a": 2}, "state": {"n": 1}})
    store.delete("params", ("b", "w"))
    assert store.variables["params"] == {"b": {}, "a": 2}
    store.delete("params", ("b",))
    store.delete("state", ())
    assert store.variables == {"params": {"a": 2}}


def test_the_mapping_is_not_copied():
    tree = {"params": {"w": 1}}
    store = MemoryStore(tree)
    store.put("params", ("w",), 2)
    assert tree == {"params": {"w": 2}}
    assert MemoryStore().snapshot() == {}


def test_only_a_mutable_mapping_is_writable():
    assert MemoryStore({}).capabilities == nn.StoreCapabilities(writable=True)
    store = MemoryStore(types.MappingProxyType({"params": {"w": 1}}))
    assert not store.capabilities.writable
    assert store.get("params", ("w",)) == 1
    for change in (lambda: store.put("params", ("w",), 2), lambda: store.delete("params", ("w",))):
        with pytest.raises(errors.StoreReadOnlyError) as caught:
            change()
        assert str(caught.value) == str(errors.StoreReadOnlyError("MemoryStore", "params", ("w",)))
    assert store.get("params", ("w",)) == 1


NOTHING = "nothing is stored there"
WRONG = {
    "no collection": (lambda s: s.get("state", ("w",)), "state/w", "the collection does not exist"),
    "no leaf": (lambda s: s.get("params", ("x",)), "params/x", NOTHING),
    "below a leaf": (lambda s: s.get("params", ("a", "x")), "params/a/x", NOTHING),
    "a node": (lambda s: s.read("params", [("a",), ("b",)]), "params/b", "a node, not a value, is there"),
    "children of nothing": (lambda s: s.children("params", ("x",)), "params/x", NOTHING),
    "spec of nothing": (lambda s: s.spec("params", ("x",)), "params/x", NOTHING),
    "delete nothing": (lambda s: s.delete("params", ("b", "x")), "params/b/x", NOTHING),
    "put without a name": (lambda s: s.put("params", (), 1), "params", "a value needs a name inside its collection"),
    "put below a leaf": (lambda s: s.put("params", ("a", "x", "y"), 1), "params/a", "a value, not a node, is there"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_paths_are_named_and_change_nothing(name):
    call, path, reason = WRONG[name]
    store = MemoryStore(variables())
    with pytest.raises(errors.StorePathError) as caught:
        call(store)
    assert str(caught.value) == f"Cannot find {path!r} in the store: {reason}."
    assert list(store.variables["params"]) == ["b", "a"]
    assert list(store.variables["params"]["b"]) == ["kernel", "bias"]


def test_the_representation_lists_the_collections():
    assert repr(MemoryStore(variables())) == "MemoryStore(collections=['params', 'empty'])"


def test_a_closed_store_may_be_closed_again():
    with MemoryStore(variables()) as store:
        store.close()
    store.close()
    assert store.contains("params")


def test_an_immutable_collection_in_a_mutable_mapping_is_read_only():
    store = MemoryStore({"params": types.MappingProxyType({"bias": 1.0})})
    with pytest.raises(errors.StoreReadOnlyError):
        store.put("params", ("kernel",), 2.0)
    with pytest.raises(errors.StoreReadOnlyError):
        store.delete("params", ("bias",))
    assert store.snapshot() == {"params": {"bias": 1.0}}


def test_the_spec_of_a_spec_keeps_its_sharding():
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[1])
    spec = jax.ShapeDtypeStruct((2,), jnp.float32, sharding=sharding)
    assert value_spec(spec).sharding == sharding
