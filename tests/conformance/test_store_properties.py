"""A store and a plain nested dict, driven by the same random calls, always say the same."""

from __future__ import annotations

import copy
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linen_core.errors import StorePathError
from linen_core.store import MemoryStore

NAMES = st.sampled_from(["a", "b", "a.b", "a/b", "0", "ä"])
LEAVES = st.integers(0, 9).map(lambda n: np.full((n % 3,), n, np.float32))
TREES = st.recursive(
    LEAVES | st.builds(dict), lambda below: st.dictionaries(NAMES, below, max_size=3)
)
NODES = st.dictionaries(NAMES, TREES, max_size=3)
VARIABLES = st.dictionaries(NAMES, NODES, max_size=3)
PATHS = st.lists(NAMES, max_size=3).map(tuple)
CALLS = st.lists(st.tuples(st.sampled_from(["put", "delete"]), NAMES, PATHS, LEAVES), max_size=6)


def with_value(tree, names, value):
    """The tree with a value at a path, None where it has no place."""
    if not isinstance(tree, dict):
        return None
    head, *rest = names
    below = with_value(tree.get(head, {}), rest, value) if rest else value
    return None if below is None else {**tree, head: below}


def without(tree, names):
    """The tree without what lies at a path, None where nothing does."""
    head, *rest = names
    if not isinstance(tree, dict) or head not in tree:
        return None
    if not rest:
        return {name: child for name, child in tree.items() if name != head}
    below = without(tree[head], rest)
    return None if below is None else {**tree, head: below}


def find(tree, names):
    """What lies at a path, None where nothing does."""
    for name in names:
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    return tree


def plain(tree):
    """The tree as something that compares with ==, in order."""
    if isinstance(tree, dict):
        return [(name, plain(child)) for name, child in tree.items()]
    return (tree.shape, tree.dtype, tree.tolist())


@given(VARIABLES, CALLS)
@settings(max_examples=200)
def test_writes(variables, calls):
    store, expected = MemoryStore(copy.deepcopy(variables)), variables
    for verb, collection, path, value in calls:
        names = (collection, *path)
        if verb == "put":
            call = partial(store.put, collection, path, value)
            changed = with_value(expected, names, value) if path else None
        else:
            call = partial(store.delete, collection, path)
            changed = without(expected, names)
        if changed is None:
            with pytest.raises(StorePathError):
                call()
        else:
            call()
            expected = changed
        assert plain(store.snapshot()) == plain(expected)


@given(VARIABLES, NAMES, PATHS)
@settings(max_examples=200)
def test_reads(variables, collection, path):
    store = MemoryStore(variables)
    found = find(variables, (collection, *path))
    assert store.contains(collection, path) is (found is not None)
    assert store.is_leaf(collection, path) is isinstance(found, np.ndarray)
    if isinstance(found, np.ndarray):
        assert store.get(collection, path) is found
        assert store.children(collection, path) == ()
        assert store.spec(collection, path).shape == found.shape
    else:
        with pytest.raises(StorePathError):
            store.get(collection, path)


@given(VARIABLES, NAMES, PATHS)
@settings(max_examples=200)
def test_nodes(variables, collection, path):
    store = MemoryStore(variables)
    found = find(variables, (collection, *path))
    if found is None:
        for ask in (store.children, store.spec, store.leaves):
            with pytest.raises(StorePathError):
                ask(collection, path)
    elif isinstance(found, dict):
        leaves = store.leaves(collection, path)
        values = store.read(collection, leaves)
        assert store.children(collection, path) == tuple(found)
        assert [id(value) for value in values] == [
            id(find(variables, (collection, *leaf))) for leaf in leaves
        ]
        assert len(leaves) == len(jax.tree.leaves(found))
    else:
        assert store.leaves(collection, path) == (path,)
