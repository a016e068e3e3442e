"""FrozenDict and its functions against flax.core, over random nested dicts."""

import copy as copying
import pickle

import flax.core as reference
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import linen_store as ours

parity = settings(derandomize=True, max_examples=60, deadline=None)

NAMES = st.text("abcz_.0/é\n", min_size=0, max_size=3)
VALUES = st.one_of(
    st.integers(-3, 3),
    st.none(),
    st.text("xy\n", max_size=3),
    st.tuples(st.integers(0, 2)),
)
LEAVES = st.one_of(VALUES, st.lists(st.integers(0, 2), max_size=2))
HASHABLE = st.recursive(
    VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
NESTED = st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)
DICTS = st.dictionaries(NAMES, NESTED, max_size=4)
HASHABLE_DICTS = st.dictionaries(NAMES, HASHABLE, max_size=4)


def outcome(function, *args):
    """What a call gives: its value, or the class of its error (ours may be a subclass)."""
    try:
        return "value", function(*args)
    except Exception as error:
        return "error", next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


def plain(value):
    """Turn frozen dicts of either library into a comparable form that tells them from dicts."""
    if isinstance(value, ours.FrozenDict | reference.FrozenDict):
        return ("frozen", [(key, plain(child)) for key, child in value.items()])
    if isinstance(value, dict):
        return ("dict", [(key, plain(child)) for key, child in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [plain(child) for child in value])
    return value


@parity
@given(DICTS)
def test_reads_like_flax(tree):
    mine, theirs = ours.FrozenDict(tree), reference.FrozenDict(tree)
    assert plain(mine) == plain(theirs)
    assert len(mine) == len(theirs)
    assert list(mine) == list(theirs)
    assert repr(mine.keys()) == repr(theirs.keys())
    assert repr(mine.values()) == repr(theirs.values())
    for name in [*tree, "missing"]:
        assert (name in mine) == (name in theirs)
        assert plain(mine.get(name, 7)) == plain(theirs.get(name, 7))
        assert plain(outcome(mine.__getitem__, name)) == plain(outcome(theirs.__getitem__, name))


@parity
@given(DICTS, st.integers(0, 6))
def test_renders_like_flax(tree, spaces):
    mine, theirs = ours.FrozenDict(tree), reference.FrozenDict(tree)
    assert repr(mine) == repr(theirs)
    assert mine.pretty_repr(spaces) == theirs.pretty_repr(spaces)
    assert ours.pretty_repr(tree, spaces) == reference.pretty_repr(tree, spaces)
    assert ours.pretty_repr(mine, spaces) == reference.pretty_repr(theirs, spaces)
    assert ours.pretty_repr(3, spaces) == reference.pretty_repr(3, spaces)


@parity
@given(DICTS)
def test_unfreezes_like_flax_and_never_aliases(tree):
    mine, theirs = ours.FrozenDict(tree), reference.FrozenDict(tree)
    assert plain(ours.unfreeze(mine)) == plain(reference.unfreeze(theirs))
    assert plain(mine.unfreeze()) == plain(theirs.unfreeze())
    assert plain(ours.unfreeze({"x": mine, "y": tree})) == plain(
        reference.unfreeze({"x": theirs, "y": tree})
    )
    before = repr(mine)
    _scramble(mine.unfreeze())
    assert repr(mine) == before


@parity
@given(DICTS)
def test_freezing_does_not_alias_the_dict(tree):
    mine = ours.freeze(tree)
    before = repr(mine)
    _scramble_dicts(tree)
    assert repr(mine) == before


@parity
@given(HASHABLE_DICTS, HASHABLE_DICTS)
def test_hashes_and_compares_like_flax(first, second):
    mine, other = ours.FrozenDict(first), ours.FrozenDict(second)
    theirs, their_other = reference.FrozenDict(first), reference.FrozenDict(second)
    assert hash(mine) == hash(theirs)
    assert (mine == other) == (theirs == their_other)
    assert (mine == second) == (theirs == second)
    assert (second == mine) == (second == theirs)
    assert mine == first
    assert mine != [first]


@parity
@given(DICTS, DICTS, NAMES)
def test_copies_and_pops_like_flax(tree, more, name):
    mine, theirs = ours.FrozenDict(tree), reference.FrozenDict(tree)
    assert plain(mine.copy(more)) == plain(theirs.copy(more))
    assert plain(mine.copy(ours.freeze(more))) == plain(theirs.copy(reference.freeze(more)))
    assert plain(outcome(ours.copy, mine, more)) == plain(outcome(reference.copy, theirs, more))
    assert plain(outcome(ours.copy, tree, more)) == plain(outcome(reference.copy, tree, more))
    assert plain(outcome(mine.pop, name)) == plain(outcome(theirs.pop, name))
    for key in [*tree, name]:
        assert plain(outcome(ours.pop, mine, key)) == plain(outcome(reference.pop, theirs, key))
        assert plain(outcome(ours.pop, tree, key)) == plain(outcome(reference.pop, tree, key))


@parity
@given(DICTS)
def test_is_the_same_pytree(tree):
    mine, theirs = ours.FrozenDict(tree), reference.FrozenDict(tree)
    mine_paths = jax.tree_util.tree_flatten_with_path(mine)[0]
    assert mine_paths == jax.tree_util.tree_flatten_with_path(theirs)[0]
    assert jax.tree.leaves(mine) == jax.tree.leaves(theirs)
    doubled = jax.tree.map(lambda leaf: (leaf, leaf), mine)
    assert plain(doubled) == plain(jax.tree.map(lambda leaf: (leaf, leaf), theirs))
    assert jax.tree.structure(mine) == jax.tree.structure(ours.FrozenDict(tree))


@parity
@given(DICTS)
def test_survives_pickling_and_copying(tree):
    mine = ours.FrozenDict(tree)
    for again in (pickle.loads(pickle.dumps(mine)), copying.copy(mine), copying.deepcopy(mine)):
        assert again == mine
        assert type(again) is ours.FrozenDict


@pytest.mark.parametrize(
    "misuse",
    [
        lambda lib: lib.FrozenDict({"a": 1}).__setitem__("a", 2),
        lambda lib: lib.FrozenDict({"a": {"b": 1}})["a"].__setitem__("b", 2),
        lambda lib: exec("del x['a']", {"x": lib.FrozenDict({"a": 1})}),
        lambda lib: lib.FrozenDict({"a": 1}).update({}),
        lambda lib: setattr(lib.FrozenDict({"a": 1}), "b", 1),
        lambda lib: hash(lib.FrozenDict({"a": [1]})),
        lambda lib: hash(lib.FrozenDict({"a": np.ones(2)})),
        lambda lib: lib.FrozenDict(3),
        lambda lib: lib.freeze([1]),
        lambda lib: lib.copy([1], {}),
        lambda lib: lib.pop([1], 0),
        lambda lib: lib.FrozenDict({"a": 1}).pop("b"),
        lambda lib: lib.pop({"a": 1}, "b"),
        lambda lib: jax.tree.leaves(lib.FrozenDict({"a": 1, 2: 3})),
        lambda lib: lib.FrozenDict({"a": 1, 2: 3}).unfreeze(),
        lambda lib: lib.FrozenDict({"a": 1}) | {"b": 2},
    ],
)
def test_misuse_is_the_same_class_of_error(misuse):
    assert outcome(misuse, ours) == outcome(misuse, reference)
    assert outcome(misuse, ours)[0] == "error"


def test_is_made_like_dict():
    for lib in (ours, reference):
        assert lib.FrozenDict([("a", 1)], b=2) == {"a": 1, "b": 2}
        assert lib.FrozenDict() == {}
        shared = {"a": {"b": 1}}
        assert lib.FrozenDict(shared, __unsafe_skip_copy__=True)["a"] == {"b": 1}
        assert next(lib.FrozenDict({"a": {}}).items())[0] == "a"


def test_goes_through_jit_and_grad():
    tree = ours.FrozenDict({"w": {"k": np.float32(2.0)}})
    grads = jax.jit(jax.grad(lambda params: params["w"]["k"] ** 2))(tree)
    assert type(grads) is ours.FrozenDict
    assert float(grads["w"]["k"]) == 4.0


def _scramble(tree):
    for value in tree.values():
        if isinstance(value, dict):
            _scramble(value)
        if isinstance(value, list):
            value.append("changed")
    tree["changed"] = True


def _scramble_dicts(tree):
    for value in tree.values():
        if isinstance(value, dict):
            _scramble_dicts(value)
    tree["changed"] = True
