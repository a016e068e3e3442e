"""Attributes of modules: the search for modules inside containers, and frozen containers."""

import collections
import copy
import pickle
import types

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from linen_core.module.attributes import ImmutableDict, freeze_attribute
from linen_core.module.state import map_modules

Pair = collections.namedtuple("Pair", ["second", "first"])  # noqa: PYI024 - untyped, as users have them
A, B, C = (nn.Dense(size) for size in (1, 2, 3))
plain = st.recursive(
    st.one_of(st.integers(), st.text(max_size=2), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
    ),
    max_leaves=8,
)


class Struct(nn.struct.PyTreeNode):
    module: object
    static: object = nn.struct.field(pytree_node=False, default=None)


def visited(value, suffix=""):
    seen = []
    map_modules(lambda suffix, module: seen.append((suffix, module.features)), value, suffix)
    return seen


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (A, [("", 1)]),
        ([A, B], [("_0", 1), ("_1", 2)]),
        ((A, [B, C]), [("_0", 1), ("_1_0", 2), ("_1_1", 3)]),
        ({"b": A, "a": B}, [("_a", 2), ("_b", 1)]),
        ({10: A, 9: B}, [("_10", 1), ("_9", 2)]),
        ({"x": [{"y": A}]}, [("_x_0_y", 1)]),
        (Pair(A, B), [("_first", 2), ("_second", 1)]),
        (Struct(A, B), [("_module", 1)]),
        (types.MappingProxyType({"a": A}), [("_a", 1)]),
        ([A, A], [("_0", 1), ("_1", 1)]),
        (3, []),
        ("text", []),
        ({A.clone, "x"}, []),
        ([1, None, {"a": "b"}], []),
    ],
)
def test_modules_are_visited_with_their_keys_in_order(value, expected):
    assert visited(value) == expected


def test_items_are_visited_in_the_order_of_their_numbers_as_text():
    order = [suffix for suffix, _ in visited([A] * 12)]
    assert order == ["_0", "_1", "_10", "_11", *(f"_{i}" for i in range(2, 10))]


def test_a_suffix_may_be_given():
    assert visited([A], "_outer") == [("_outer_0", 1)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([A, 1], ["x", 1]),
        ((A, 1), ("x", 1)),
        ({"b": A, "a": 1}, {"b": "x", "a": 1}),
        (Pair(1, A), Pair(1, "x")),
        (Struct(A, B), Struct("x", B)),
        (types.MappingProxyType({"a": A}), {"a": "x"}),
    ],
)
def test_containers_keep_their_type_and_order(value, expected):
    mapped = map_modules(lambda suffix, module: "x", value)
    assert mapped == expected
    assert type(mapped) is type(expected)
    if isinstance(mapped, dict):
        assert list(mapped) == list(expected)


@given(plain)
def test_an_attribute_without_modules_is_returned_as_it_is(value):
    assert map_modules(lambda suffix, module: None, value) is value


def test_an_attribute_whose_modules_stay_is_returned_as_it_is():
    value = {"a": [A], "b": types.MappingProxyType({"c": B})}
    assert map_modules(lambda suffix, module: module, value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, [2]], (1, (2,))),
        (({"a": [1]},), (ImmutableDict(a=(1,)),)),
        ({"a": {"b": []}}, ImmutableDict(a=ImmutableDict(b=()))),
        (Pair([1], {}), Pair((1,), ImmutableDict())),
        ({3}, {3}),
        ("text", "text"),
    ],
)
def test_lists_become_tuples_and_dicts_immutable(value, expected):
    def kinds(node):
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, tuple) else ()
        return type(node), [kinds(child) for child in inner]

    frozen = freeze_attribute(value)
    assert frozen == expected
    assert kinds(frozen) == kinds(expected)


@given(plain)
def test_freezing_twice_changes_nothing(value):
    frozen = freeze_attribute(value)
    assert freeze_attribute(frozen) == frozen


@given(plain)
def test_a_frozen_attribute_is_hashable(value):
    assert hash(freeze_attribute(value)) == hash(freeze_attribute(copy.deepcopy(value)))


def test_partition_specs_and_arrays_stay_as_they_are():
    for value in (jax.P("data", None), jnp.ones(3)):
        assert freeze_attribute(value) is value


CHANGES = {
    "set": lambda d: d.__setitem__("a", 2),
    "delete": lambda d: d.__delitem__("a"),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("a"),
    "popitem": lambda d: d.popitem(),
    "setdefault": lambda d: d.setdefault("b", 1),
    "update": lambda d: d.update(b=1),
    "or": lambda d: d.__ior__({"b": 1}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_immutable_dict_cannot_be_changed(name):
    value = ImmutableDict(a=1)
    with pytest.raises(ValueError) as caught:
        CHANGES[name](value)
    assert str(caught.value) == (
        "An attribute of a module is immutable. Make a changed copy with `dict(...)`."
    )
    assert value == {"a": 1}


def test_an_immutable_dict_is_copied_with_changes():
    value = ImmutableDict(a=1, b=2)
    changed = value.copy({"b": 3, "c": 4})
    assert changed == {"a": 1, "b": 3, "c": 4}
    assert type(changed) is type(value.copy()) is ImmutableDict
    assert value == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))]
)
def test_an_immutable_dict_survives_copies(duplicate):
    value = ImmutableDict(b=[1], a=ImmutableDict(c=2))
    again = duplicate(value)
    assert again == value
    assert (type(again), type(again["a"])) == (ImmutableDict, ImmutableDict)


def test_an_immutable_dict_hashes_by_its_items():
    assert hash(ImmutableDict(a=1, b=2)) == hash(ImmutableDict(b=2, a=1))
    assert hash(ImmutableDict(a=1)) != hash(ImmutableDict(a=2))
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        hash(ImmutableDict(a=[]))


def test_an_immutable_dict_is_a_pytree_like_a_dict():
    value = ImmutableDict(b=1, a=2)
    paths, _ = jax.tree_util.tree_flatten_with_path(value)
    assert [(jax.tree_util.keystr(path), leaf) for path, leaf in paths] == [
        ("['a']", 2),
        ("['b']", 1),
    ]
    doubled = jax.tree.map(lambda x: 2 * x, value)
    assert doubled == {"a": 4, "b": 2}
    assert type(doubled) is ImmutableDict
