"""Nested dicts by path, and traversals of any structure."""

import collections
import copy
import dataclasses
import pickle
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_core import struct
from linen_core import traverse_util as tu
from linen_core.traverse_util import empty_node, flatten_dict, t_identity, unflatten_dict

names = st.text("abc", min_size=1, max_size=2)
values = st.one_of(st.integers(), st.none(), st.lists(st.integers(), max_size=2))
trees = st.dictionaries(
    names,
    st.recursive(values, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=8),
    max_size=4,
)
Pair = collections.namedtuple("Pair", ["x", "y"])  # noqa: PYI024 - untyped, as users have them


@struct.dataclass
class Struct:
    x: object
    y: object


@dataclasses.dataclass
class Plain:
    x: object
    y: object


class Free:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None


def leaves(tree, path=()):
    """All values by path, and empty dicts below the top."""
    if not isinstance(tree, dict) or (path and not tree):
        return {path: tree}
    return {
        key: v for name, child in tree.items() for key, v in leaves(child, (*path, name)).items()
    }


@given(trees)
def test_a_flat_dict_has_all_values_by_path(tree):
    expected = {path: value for path, value in leaves(tree).items() if value != {}}
    assert list(flatten_dict(tree).items()) == list(expected.items())


@given(trees)
def test_unflattening_undoes_flattening(tree):
    flat = flatten_dict(tree, keep_empty_nodes=True)
    assert unflatten_dict(flat) == tree
    assert {path: {} if v is empty_node else v for path, v in flat.items()} == leaves(tree)


@given(trees)
def test_paths_may_be_joined(tree):
    flat = flatten_dict(tree, keep_empty_nodes=True, sep="/")
    assert list(flat) == ["/".join(path) for path in leaves(tree)]
    assert unflatten_dict(flat, sep="/") == tree


@given(trees)
def test_a_path_aware_map_sees_each_value_with_its_path(tree):
    seen = {}
    mapped = tu.path_aware_map(lambda path, value: seen.setdefault(path, [value]), tree)
    assert seen == {path: [value] for path, value in leaves(tree).items() if value != {}}
    expected = {path: [v] if v != {} else v for path, v in leaves(tree).items()}
    assert leaves(mapped) == expected


@pytest.mark.parametrize(
    ("tree", "options", "expected"),
    [
        ({}, {}, {}),
        ({}, {"keep_empty_nodes": True}, {}),
        ({"a": {}}, {}, {}),
        ({"a": {"b": {}}}, {"keep_empty_nodes": True}, {("a", "b"): empty_node}),
        ({1: {(2, 3): "x"}}, {}, {(1, (2, 3)): "x"}),
        (types.MappingProxyType({"a": types.MappingProxyType({"b": 1})}), {}, {("a", "b"): 1}),
        ({"a": {"b": 1}}, {"is_leaf": lambda path, value: path == ("a",)}, {("a",): {"b": 1}}),
        ({"a": {"b": 1}, "c": {}}, {"is_leaf": lambda path, value: not value}, {("a", "b"): 1, ("c",): {}}),
        ({"a": {"b": 1}}, {"sep": "."}, {"a.b": 1}),
    ],
)  # fmt: skip
def test_flattening(tree, options, expected):
    assert flatten_dict(tree, **options) == expected


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: flatten_dict([1]), AssertionError, "Expected a nested dict, found list."),
        (lambda: unflatten_dict(3), AssertionError, "Expected a dict from paths to values, found int."),
        (lambda: tu.TraverseEach().update(abs, {1}), ValueError, "Expected a list, a tuple or a dict, found set."),
        (lambda: tu.ModelParamTraversal(bool).update(abs, [1]), ValueError, "Expected a nested dict, found list."),
        (lambda: list(tu.ModelParamTraversal(bool).iterate([1])), ValueError, "Expected a nested dict, found list."),
    ],
    ids=["flatten", "unflatten", "each", "update parameters", "iterate parameters"],
)  # fmt: skip
def test_other_structures_are_refused(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == text


ATTRIBUTES = [Pair(1, 2), Struct(1, 2), Plain(1, 2), Free(1, 2)]
TRAVERSALS = {
    "all": (t_identity, [1, 2], [[1, 2]], "changed"),
    "item": (t_identity["a"], {"a": 1, "b": 2}, [1], {"a": "changed", "b": 2}),
    "index": (t_identity[1], [1, 2], [2], [1, "changed"]),
    "index of a tuple": (t_identity[1], (1, 2), [2], (1, "changed")),
    "index of a named tuple": (t_identity[0], Pair(1, 2), [1], Pair("changed", 2)),
    "slice": (t_identity[1:], (1, 2, 3), [2, 3], (1, "changed", "changed")),
    "slice with a step": (t_identity[::2], (1, 2, 3), [1, 3], ("changed", 2, "changed")),
    "each of a list": (t_identity.each(), [1, 2], [1, 2], ["changed", "changed"]),
    "each of a tuple": (t_identity.each(), (1,), [1], ("changed",)),
    "each of a dict": (t_identity.each(), {"b": 1}, [1], {"b": "changed"}),
    "deep": (t_identity["a"].each()[0], {"a": [(1, 2), (3, 4)]}, [1, 3], {"a": [("changed", 2), ("changed", 4)]}),
    "tree": (t_identity.tree(), {"a": [1], "b": 2}, [1, 2], {"a": ["changed"], "b": "changed"}),
    "filter": (t_identity.each().filter(lambda x: x > 1), [1, 2, 3], [2, 3], [1, "changed", "changed"]),
    "merge": (t_identity.merge(tu.TraverseItem("b"), tu.TraverseItem("a")), {"a": 1, "b": 2, "c": 3}, [2, 1], {"a": "changed", "b": "changed", "c": 3}),
    "compose": (t_identity.compose(tu.TraverseAttr("x")), Struct(1, 2), [1], Struct("changed", 2)),
    **{type(v).__name__: (t_identity.x, v, [1], type(v)("changed", 2)) for v in ATTRIBUTES},
}  # fmt: skip


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_traversal_reads_and_replaces_the_selected_parts(name):
    traversal, structure, parts, changed = TRAVERSALS[name]
    before = copy.deepcopy(structure)
    assert list(traversal.iterate(structure)) == parts
    updated = traversal.update(lambda part: "changed", structure)
    assert updated == changed
    assert type(updated) is type(changed)
    assert structure == before  # a copy is changed, not the structure
    assert traversal.set(["changed"] * len(parts), structure) == changed


@given(st.lists(st.integers(), min_size=1, max_size=4), st.integers(-2, 2))
def test_as_many_values_as_parts_are_set(parts, more):
    new = [-part for part in (parts + parts)[: max(0, len(parts) + more)]]
    given_values = list(new)
    if len(new) == len(parts):
        assert t_identity.each().set(given_values, parts) == new
        assert given_values == []
        return
    with pytest.raises(ValueError) as caught:
        t_identity.each().set(given_values, parts)
    if len(new) < len(parts):
        text = f"Not enough values: found {len(new)}, but the traversal selects more parts."
    else:
        text = f"Too many values: found {len(new)}, but the traversal selects {len(parts)} parts."
    assert str(caught.value) == text


def test_merged_traversals_are_applied_one_after_another():
    twice = t_identity.merge(tu.TraverseItem(0), tu.TraverseItem(0))
    assert twice.update(lambda x: x + 1, [1, 5]) == [3, 5]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_traversals_are_copied_and_pickled(duplicate):
    again = duplicate(t_identity["a"].each())
    assert list(again.iterate({"a": [1, 2]})) == [1, 2]


def test_parameters_are_selected_by_path_and_value():
    seen = []
    tree = {"b": {"kernel": 1, "bias": 2}, "a": {"kernel": 3}, "empty": {}}

    def is_small_kernel(path, value):
        seen.append((path, value))
        return path.endswith("/kernel") and value < 3

    traversal = tu.ModelParamTraversal(is_small_kernel)
    assert list(traversal.iterate(tree)) == [1]
    assert seen == [("/a/kernel", 3), ("/b/bias", 2), ("/b/kernel", 1)]
    updated = traversal.update(lambda value: -value, tree)
    assert updated == {"b": {"kernel": -1, "bias": 2}, "a": {"kernel": 3}, "empty": {}}
    assert tree["b"]["kernel"] == 1


def test_updated_parameters_are_the_same_kind_of_mapping():
    traversal = tu.ModelParamTraversal(lambda path, value: True)
    updated = traversal.update(str, collections.UserDict({"a": {"w": 1}}))
    assert type(updated) is collections.UserDict
    assert updated == {"a": {"w": "1"}}
