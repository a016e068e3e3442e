"""Trees of names: built from flat entries, mounted as collections, and walked."""

import pytest

from linen_store.errors import RootNotFoundError
from linen_store.reading.tree import (
    IntegerNames,
    Leaf,
    build_tree,
    insert,
    leaves_of,
    map_leaves,
    mark_integers,
    mount,
    original_keys,
    paths_of,
    unbox_nodes,
)


def entry(*names, indexed=()):
    return names, tuple(name in indexed for name in names), Leaf(names)


def names_of(tree):
    return map_leaves(lambda leaf: "/".join(leaf.names), tree)


def test_nodes_and_sequences():
    tree = build_tree([entry("a", "1", indexed="1"), entry("a", "0", indexed="0"), entry("b", "0")])
    assert names_of(tree) == {"a": ("a/0", "a/1"), "b": {"0": "b/0"}}
    assert list(paths_of(tree)) == [("a",), ("b", "0")]
    assert [leaf.joined for leaf in leaves_of(tree)] == ["a.0", "a.1", "b.0"]


def test_a_sequence_at_the_top():
    assert names_of(build_tree([entry("1", indexed="1"), entry("0", indexed="0")])) == ("0", "1")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("a"), entry("a")], "is listed twice"),
        ([entry("a"), entry("a", "b")], "is both a value and a node"),
        ([entry(*"a" * 401)], "401 names deep"),
    ],
)
def test_entries_that_contradict_each_other(entries, message):
    with pytest.raises(ValueError, match=message):
        build_tree(entries)


def test_integer_names_come_back():
    tree = mark_integers(build_tree([entry("a", "1"), entry("a", "-2"), entry("b", "x")]), {("a",)})
    assert isinstance(tree["a"], IntegerNames)
    assert original_keys(tree, names_of(tree)) == {"a": {1: "a/1", -2: "a/-2"}, "b": {"x": "b/x"}}


def test_boxes_are_nodes_with_a_single_value():
    tree = build_tree([entry("w", "value"), entry("v", "value"), entry("v", "other")])
    assert names_of(unbox_nodes(tree)) == {
        "w": "w/value",
        "v": {"value": "v/value", "other": "v/other"},
    }


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (None, {"m": {"params": {"w": "m/params/w"}}}),
        ("m", {"params": {"w": "m/params/w"}}),
        (("m", "params"), {"w": "m/params/w"}),
        ({"params": ("m", "params")}, {"params": {"w": "m/params/w"}}),
        ({"all": ()}, {"all": {"m": {"params": {"w": "m/params/w"}}}}),
    ],
)
def test_root(root, expected):
    assert names_of(mount(build_tree([entry("m", "params", "w")]), root, "/c")) == expected


@pytest.mark.parametrize(
    ("root", "found"),
    [
        ("x", "only ['m'] beside 'x'"),
        (("m", "w", "v"), "only [] beside 'v'"),
        (("m", "w"), "a single value"),
    ],
)
def test_root_that_does_not_exist(root, found):
    with pytest.raises(RootNotFoundError) as caught:
        mount(build_tree([entry("m", "w")]), root, "/c")
    assert caught.value.found == found


def test_insert():
    tree = {"a": {"b": 1}}
    insert(tree, ("a", "c", "d"), 2)
    assert tree == {"a": {"b": 1, "c": {"d": 2}}}
