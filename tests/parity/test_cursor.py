"""Cursors do what those of flax.cursor do."""

import dataclasses
import operator
from typing import Any, NamedTuple

import flax.core
import flax.cursor
import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import pytest

import linen_core.cursor
import linen_store
from linen_core import struct
from linen_core.errors import CursorFindError
from parity._compare import assert_same_error, parity_settings

LIBRARIES = (linen_core.cursor, flax.cursor)


class Pair(NamedTuple):
    left: Any
    right: Any = None


@dataclasses.dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


@struct.dataclass
class State:
    params: Any
    step: int = 0


TREE = {
    "a": 1,
    "b": (2, [3, Pair(4, {"c": 5})]),
    "p": Point(Point(6), {"q": 7}),
    "s": State({"w": (8, 9)}),
    3: [flax.core.freeze({"f": 10})],
}

trees = st.recursive(
    st.integers(0, 5) | st.sampled_from("xy"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Point, inner, inner)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(flax.core.freeze)
    ),
    max_leaves=12,
)


def change_items(c):
    c["a"] += 1
    c["b"][1][0] = "new"
    c["b"][1][1].left = 0
    c["b"][1][1][1]["c"] *= 3
    c["p"].x.y = (1, 2)
    c["s"].params["w"][1] = None
    c[3][0]["g"] = 1
    return c.build()


PROGRAMS = {
    "items": change_items,
    "set an item": lambda c: c["b"][1][1].right["c"].set(-1),
    "set an attribute": lambda c: c["p"].x.x.set([1]),
    "set the root": lambda c: c.set(4),
    "set keeps other changes": lambda c: (operator.setitem(c, "a", 5), c["b"][0].set(6)),
    "set a cursor": lambda c: c["a"].set(c["b"][0] + 1),
    "iterate": lambda c: [[int(x + 1) for x in c["s"].params["w"]], len(c), len(c["b"])],
    "iterate backwards": lambda c: [x._path for x in reversed(c["s"].params["w"])],
    "paths": lambda c: [c["b"][1][1][0]._path, c[3][0]["f"]._path, c["p"].x.y._path, c._path],
    "apply_update": lambda c: c.apply_update(
        lambda path, x: x * 2 if isinstance(x, int) and "w" not in path else x
    ).build(),
    "apply_update of whole parts": lambda c: c.apply_update(
        lambda path, x: {} if path in {"p", "b/1"} else x
    ).build(),
    "find": lambda c: c.find(lambda path, x: x == 7).set(0),
    "find_all": lambda c: [one._path for one in c.find_all(lambda path, x: isinstance(x, tuple))],
    "repr": lambda c: (repr(c), change_items(c), repr(c)),
    "str": lambda c: (str(c["b"]), f"{c['a']}"),
    "wrong key": lambda c: c["z"],
    "wrong attribute": lambda c: c["p"].z,
    "wrong index": lambda c: c["b"][5],
    "no items": lambda c: c["a"][0],
    "wrong iteration": list,
    "wrong iteration backwards": lambda c: list(reversed(c["p"])),
    "wrong field": lambda c: (setattr(c["p"], "z", 1), c.build()),
    "wrong field of a named tuple": lambda c: (setattr(c["b"][1][1], "z", 1), c.build()),
    "wrong index of a list": lambda c: (operator.setitem(c["b"][1], 9, 1), c.build()),
    "hash": hash,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    ours, theirs = (lambda lib=lib: PROGRAMS[name](lib.cursor(TREE)) for lib in LIBRARIES)
    try:
        expected = theirs()
    except Exception:
        assert_same_error(ours, theirs)
    else:
        assert ours() == expected
    assert TREE["a"] == 1


@pytest.mark.parametrize("condition", [lambda path, x: x == 100, lambda path, x: path[0] in "bp"])
def test_find_raises_unless_there_is_one(condition):
    assert_same_error(*(lambda lib=lib: lib.cursor(TREE).find(condition) for lib in LIBRARIES))


def test_the_error_of_find_names_the_paths():
    c = linen_core.cursor.cursor(TREE)
    with pytest.raises(CursorFindError, match=r"more than one, at \['b'\] and at \['p'\]"):
        c.find(lambda path, x: path in {"b", "p"})


@parity_settings()
@hypothesis.given(
    tree=trees, numbers=st.sets(st.integers(0, 5)), word=st.sampled_from(["a", "x", "0", "/"])
)
def test_updates_and_searches_of_random_trees(tree, numbers, word):
    def update(path, x):
        return -x if isinstance(x, int) and x in numbers else x

    ours, theirs = (lib.cursor(tree) for lib in LIBRARIES)
    found = [
        [c._path for c in one.find_all(lambda path, x: word in path)] for one in (ours, theirs)
    ]
    assert found[0] == found[1]
    assert repr(ours) == repr(theirs)
    built = [one.apply_update(update).build() for one in (ours, theirs)]
    assert built[0] == built[1]
    assert repr(built[0]) == repr(built[1])


BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "lshift",
    "rshift",
    "and_",
    "xor",
    "or_",
    "lt",
    "le",
    "eq",
    "ne",
    "gt",
    "ge",
]


@pytest.mark.parametrize("name", BINARY)
def test_operators(name):
    function = getattr(operator, name)
    for lib in LIBRARIES:
        c = lib.cursor(7)
        assert (function(c, 2), function(2, c)) == (function(7, 2), function(2, 7))


@pytest.mark.parametrize(
    "function", [operator.neg, operator.pos, abs, operator.invert, round, lambda x: round(x, -1)]
)
def test_unary_operators(function):
    assert function(linen_core.cursor.cursor(-7)) == function(-7)
    assert divmod(linen_core.cursor.cursor(7), 2) == (3, 1)
    assert divmod(7, linen_core.cursor.cursor(2)) == (3, 1)


def test_arrays():
    x = jnp.arange(6.0).reshape(2, 3)
    c = linen_core.cursor.cursor({"w": x})
    c["w"] @= x.T
    assert c["w"].shape == (2, 2)
    assert (c.build()["w"] == x @ x.T).all()


def test_a_frozen_dict_of_linen_store():
    frozen = linen_store.freeze({"a": {"b": 1}})
    built = linen_core.cursor.cursor(frozen)["a"]["b"].set(2)
    assert (type(built), built) == (linen_store.FrozenDict, linen_store.freeze({"a": {"b": 2}}))
    assert frozen["a"]["b"] == 1


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda c: c["z"], "Cannot read ['z']: the keys are 'a', 'b', 'p', 's', 3."),
        (lambda c: c["b"].z, "Cannot read ['b'].z: a tuple has no such attribute."),
        (lambda c: c["a"]["z"], "Cannot read ['a']['z']: a int has no items."),
        (list, "Cannot iterate over a dict. Iterate over a list or a tuple."),
    ],
)
def test_messages(program, message):
    with pytest.raises((KeyError, AttributeError, TypeError, NotImplementedError)) as caught:
        program(linen_core.cursor.cursor(TREE))
    assert caught.value.args[0] == message
