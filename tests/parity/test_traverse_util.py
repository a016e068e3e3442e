"""Nested dicts by path, and traversals, do what those of flax.traverse_util do."""

import dataclasses
import functools
import types
import warnings
from typing import NamedTuple

import flax.core
import flax.traverse_util
import hypothesis
import pytest
from hypothesis import strategies as st

import linen_store
from linen_core import traverse_util
from parity import _compare as compare

NAMES = st.sampled_from(["a", "b", "kernel", "x/y", "c.d", ""])
TREES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


class Pair(NamedTuple):
    left: object
    right: object


@dataclasses.dataclass
class Record:
    left: object
    right: object


def _outcome(ours, theirs, *args, **kwargs):
    """Run a function of both libraries on the same arguments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # flax's traversals warn
        compare.assert_same_outcome(lambda: ours(*args, **kwargs), lambda: theirs(*args, **kwargs))


@compare.parity_settings()
@hypothesis.given(
    TREES, st.booleans(), st.sampled_from([None, "/", "."]), st.sampled_from([None, 0, 1, 2])
)
def test_flatten_and_unflatten(tree, keep, sep, depth):
    is_leaf = None if depth is None else lambda path, node: len(path) >= depth and len(node) != 2

    def run(lib, freeze):
        results = []
        for given in (tree, freeze(tree)):
            flat = lib.flatten_dict(given, keep_empty_nodes=keep, is_leaf=is_leaf, sep=sep)
            shown = {k: "empty" if v is lib.empty_node else v for k, v in flat.items()}
            results += [list(shown.items()), lib.unflatten_dict(flat, sep=sep)]
        return results

    _outcome(
        lambda: run(traverse_util, linen_store.freeze),
        lambda: run(flax.traverse_util, flax.core.freeze),
    )


@compare.parity_settings()
@hypothesis.given(TREES)
def test_map_by_path_and_parameters_by_name(tree):
    def run(lib, freeze):
        pick = lib.ModelParamTraversal(lambda path, value: "kernel" in path or value in (1, 3))
        results = [lib.path_aware_map(lambda path, value: (*path, value), tree)]
        for given in (tree, freeze(tree)):
            updated = pick.update(lambda value: value + 100, given)
            kinds = type(updated).__name__
            results += [list(pick.iterate(given)), updated, kinds]
        return results

    _outcome(
        lambda: run(traverse_util, linen_store.freeze),
        lambda: run(flax.traverse_util, flax.core.freeze),
    )


STRUCTURE = {
    "layers": [{"kernel": 1, "bias": (2, 3)}, {"kernel": 4, "bias": (5, 6)}],
    "pair": Pair(7, Record(8, [9])),
    "empty": {},
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("item"), st.sampled_from(["layers", "pair", "kernel", "bias", 0, 1])),
        st.tuples(st.just("item"), st.builds(slice, st.integers(0, 2), st.integers(0, 2))),
        st.tuples(st.just("attr"), st.sampled_from(["left", "right", "real"])),
        st.tuples(st.sampled_from(["each", "tree", "filter", "merge"]), st.none()),
    ),
    max_size=4,
)


def _traversal(lib, steps):
    result = lib.t_identity
    for kind, value in steps:
        if kind == "item":
            result = result[value]
        elif kind == "attr":
            result = getattr(result, value)
        elif kind == "filter":
            result = result.filter(lambda part: not isinstance(part, int) or part % 2 == 1)
        elif kind == "merge":
            result = result.merge(lib.TraverseId(), lib.TraverseItem("kernel"))
        else:
            result = getattr(result, kind)()
    return result


@compare.parity_settings()
@hypothesis.given(STEPS)
def test_drawn_traversals(steps):
    actions = (
        lambda traversal: list(traversal.iterate(STRUCTURE)),
        lambda traversal: traversal.update(lambda part: ("new", part), STRUCTURE),
        lambda traversal: traversal.set(["v1", "v2"], STRUCTURE),
    )

    def run(lib, action):
        return action(_traversal(lib, steps))

    for action in actions:
        _outcome(
            functools.partial(run, traverse_util, action),
            functools.partial(run, flax.traverse_util, action),
        )


FAILURES = {
    "flatten no dict": lambda lib: lib.flatten_dict([1]),
    "unflatten no dict": lambda lib: lib.unflatten_dict([1]),
    "names that are no strings, joined": lambda lib: lib.flatten_dict({1: 2}, sep="/"),
    "parameters of a list": lambda lib: list(
        lib.ModelParamTraversal(lambda path, value: True).iterate([1])
    ),
    "each of a set": lambda lib: lib.t_identity.each().update(str, {1}),
    "too few values": lambda lib: lib.t_identity.each().set([1], [1, 2]),
    "too many values": lambda lib: lib.t_identity.each().set([1, 2, 3], [1, 2]),
}


@pytest.mark.parametrize("name", list(FAILURES))
def test_failures_are_of_the_same_class(name):
    _outcome(lambda: FAILURES[name](traverse_util), lambda: FAILURES[name](flax.traverse_util))


def test_an_attribute_of_an_object_is_set_in_a_copy():
    inputs = types.SimpleNamespace(a=1)
    assert traverse_util.t_identity.a.update(lambda a: a + 1, inputs).a == 2
    assert inputs.a == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1], "Not enough values: found 1, but the traversal selects more parts."),
        ([1, 2, 3], "Too many values: found 3, but the traversal selects 2 parts."),
    ],
)
def test_a_wrong_number_of_values_is_counted(values, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        traverse_util.t_identity.each().set(values, [1, 2])


def test_only_lists_tuples_and_dicts_have_entries():
    with pytest.raises(ValueError, match=r"^Expected a list, a tuple or a dict, found set\.$"):
        traverse_util.t_identity.each().update(str, {1})
