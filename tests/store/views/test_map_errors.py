"""Maps that are wrong, or do not suit a store: all problems come in one error, with the rule and its line."""

import pathlib

import numpy as np
import pytest

from linen_store import open_store
from linen_store.errors import MapError
from linen_store.views import Map, Rule

A = np.arange(24.0).reshape(2, 3, 4)


def rules(*given):
    return Map(tuple(Rule(*one) for one in given))


PROBLEMS = {
    "unused": (
        rules(("a/w", "p/w")),
        {"w": A, "v": A},
        ["a/v, float64(2, 3, 4): no rule uses it, and neither keep nor drop names it"],
    ),
    "nothing": (
        rules(("a/w", "p/w"), ("a/kernal", "p/v")),
        {"w": A, "kernel": A},
        [
            "a/kernal -> p/v: 'a/kernal' matches nothing; the closest name is 'a/kernel'",
            "a/kernel, float64(2, 3, 4): no rule uses it, and neither keep nor drop names it",
        ],
    ),
    "two rules": (
        rules(("a/w", "p/w"), ("a/v", "p/w")),
        {"w": A, "v": A},
        ["p/w: two rules make it, a/w -> p/w and a/v -> p/w"],
    ),
    "transpose": (
        rules(("a/w", "p/w", ("transpose 1 0",))),
        {"w": A},
        [
            "a/w -> p/w: p/w: cannot transpose an array of shape (2, 3, 4) by (1, 0): expected each of 0 ... 2 once"
        ],
    ),
    "hole": (
        rules(("a/l{i}", "p/l", ("stack i",))),
        {"l0": A, "l2": A},
        ["a/l{i} -> p/l: a hole in the stack: 1 is missing, but a/l2 exists"],
    ),
    "an axis that does not exist": (
        rules(("a/w", "p/l{i}", ("unstack i 3",)), ("a/v", ("p/v", "p/u"), ("split 3 1 1",))),
        {"w": A, "v": A},
        [
            "a/w -> p/l{i}: w of shape (2, 3, 4) does not have the axis 3 to unstack",
            "a/v -> p/v + p/u: v of shape (2, 3, 4) does not have the axis 3 to split",
        ],
    ),
    "the placeholder of a stack": (
        rules(("a/l{i}", "p/l", ("stack j",))),
        {"l0": A, "l1": A},
        ["a/l{i} -> p/l: the source does not have the placeholder {j} of the stack"],
    ),
    "word": (
        rules(("a/w", "p/w", ("rotate 1",))),
        {"w": A},
        [
            "a/w -> p/w: unknown operation 'rotate 1': expected one of cast, concatenate, crop, flatten, pad, reshape, "
            "resize, slice, split, stack, transpose, unflatten, unstack",
        ],
    ),
    "one number twice": (
        rules(("a/l{i}", "p/l", ("stack i",))),
        {"l0": A, "l00": A},
        ["a/l{i} -> p/l: a/l0 and a/l00 have the same number 0"],
    ),
    "no number": (
        rules(("a/l{i}", "p/l", ("stack i",))),
        {"lx": A},
        ["a/l{i} -> p/l: a/lx: expected a number, found 'x'"],
    ),
    "below an array": (
        rules(("a/w", "p/x"), ("a/v", "p/x/y")),
        {"w": A, "v": A},
        ["p/x/y: p/x is an array, so nothing can be below it"],
    ),
    "numbers": (
        rules(("a/w", "p/w", ("slice",)), ("a/v", "p/v", ("stack",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: cannot read the operation 'slice': expected slice AXIS START STOP",
            "a/v -> p/v: cannot read the operation 'stack': expected stack NAME or stack NAME AXIS",
        ],
    ),
    "empty": (
        rules(("a/w", "p/w", ("",))),
        {"w": A},
        [
            "a/w -> p/w: unknown operation '': expected one of cast, concatenate, crop, flatten, pad, reshape, resize, "
            "slice, split, stack, transpose, unflatten, unstack"
        ],
    ),
    "placeholder": (
        rules(("a/w", "p/{i}")),
        {"w": A},
        ["a/w -> p/{i}: the target has a placeholder 'i' that the source lacks"],
    ),
    "keep over a rule": (
        Map((Rule("a/w", "a/v"),), keep=("a/v",)),
        {"w": A, "v": A},
        ["a/v: two rules make it, a/w -> a/v and a/v -> a/v"],
    ),
    "some sources of an optional rule": (
        Map((Rule(("a/w", "a/v"), "p/w", ("concatenate 0",), optional=True),)),
        {"w": A},
        ["a/w + a/v -> p/w: only ['a/w'] of 2 sources"],
    ),
    "unflatten": (
        rules(("a/w", "p/w", ("unflatten 2 3 -1",)), ("a/v", "p/v", ("unflatten 3 2 2",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: p/w: cannot unflatten axis 2 of an array of shape (2, 3, 4) to (3, -1): expected sizes whose "
            "product is 4",
            "a/v -> p/v: p/v: cannot unflatten axis 3 of an array of shape (2, 3, 4): it does not exist",
        ],
    ),
    "flatten": (
        rules(("a/w", "p/w", ("flatten 1 3",)), ("a/v", "p/v", ("flatten 1 0",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: p/w: cannot flatten the axes from 1 to 3 of an array of shape (2, 3, 4)",
            "a/v -> p/v: p/v: cannot flatten the axes from 1 to 0 of an array of shape (2, 3, 4)",
        ],
    ),
    "pad": (
        rules(("a/w", "p/w", ("pad 3 1 1 fill 0",)), ("a/v", "p/v", ("pad 0 1 -1 fill 0",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: p/w: cannot pad axis 3 of an array of shape (2, 3, 4) by 1 and 1",
            "a/v -> p/v: p/v: cannot pad axis 0 of an array of shape (2, 3, 4) by 1 and -1",
        ],
    ),
    "crop": (
        rules(("a/w", "p/w", ("crop 1 2 2",)), ("a/v", "p/v", ("crop 3 1 1",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: p/w: cannot crop axis 1 of an array of shape (2, 3, 4) by 2 and 2",
            "a/v -> p/v: p/v: cannot crop axis 3 of an array of shape (2, 3, 4) by 1 and 1",
        ],
    ),
    "numbers of pad and crop": (
        rules(("a/w", "p/w", ("pad 0 1 1 0",)), ("a/v", "p/v", ("crop 0 1",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: cannot read the operation 'pad 0 1 1 0': expected pad AXIS BEFORE AFTER fill NUMBER",
            "a/v -> p/v: cannot read the operation 'crop 0 1': expected crop AXIS BEFORE AFTER",
        ],
    ),
    "sizes": (
        rules(("a/w", "p/w", ("unflatten 1 3",)), ("a/v", "p/v", ("flatten 1",))),
        {"w": A, "v": A},
        [
            "a/w -> p/w: cannot read the operation 'unflatten 1 3': expected unflatten AXIS SIZE SIZE ...",
            "a/v -> p/v: cannot read the operation 'flatten 1': expected flatten FIRST LAST",
        ],
    ),
    "drop": (
        Map((Rule("a/w", "p/w"),), drop=("a/stap",)),
        {"w": A},
        ["drop 'a/stap': it matches nothing; the closest name is 'a/w'"],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_all_problems_come_in_one_error(name):
    given, arrays, problems = PROBLEMS[name]
    with pytest.raises(MapError) as caught:
        given.apply({"a": arrays})
    assert list(caught.value.problems) == problems
    assert str(caught.value).splitlines()[1:-1] == [f"  {one}" for one in problems]


def test_problems_of_a_file_name_the_line():
    text = 'dropp = []\n[[rule]]\nsource = "a"\ntarget = "b"\n\n[[rule]]\nsource = "c"\nwhen = 3\n'
    with pytest.raises(MapError) as caught:
        Map.from_toml(text, "map.toml")
    assert caught.value.problems == (
        "unknown word 'dropp'",
        "line 6: unknown word 'when'",
        "line 6: 'target' is missing",
    )
    with pytest.raises(MapError, match=r"Cannot use the map 'map\.toml':\n  not TOML"):
        Map.from_toml("=", "map.toml")
    with pytest.raises(MapError, match="cannot be read"):
        open_store("model", map="missing.toml")
    with pytest.raises(MapError, match=r"'missing\.toml'(?s:.)*cannot be read"):
        Map.from_toml(pathlib.Path("missing.toml"))


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            '[[rule]]\nsource = 3\ntarget = "b"',
            ["line 1: 'source': expected a list of strings, found 3"],
        ),
        (
            '\n[[ rule ]]  # a comment\nsource = "a"\ntarget = "b"\ndo = [1]',
            ["line 2: 'do': expected a list of strings, found (1,)"],
        ),
        (
            '[[rule]]\nsource = "a"\ntarget = "b"\ndo = "transpose"',
            ["line 1: 'do': expected a list of strings, found 'transpose'"],
        ),
        ('drop = "params/w"', ["'drop': expected a list of strings, found 'params/w'"]),
        ('[rule]\nsource = "a"', ["rule: expected tables that begin with [[rule]]"]),
        ('rule = "x"', ["rule: expected tables that begin with [[rule]]"]),
    ],
)
def test_values_of_other_types_in_a_file(text, problems):
    with pytest.raises(MapError) as caught:
        Map.from_toml(text)
    assert list(caught.value.problems) == problems


def test_an_unknown_dtype_is_a_problem_of_the_rule():
    with pytest.raises(MapError, match="cannot read the operation 'cast floaty'"):
        rules(("a/w", "p/w", ("cast floaty",))).apply({"a": {"w": A}})


def test_a_map_without_an_inverse():
    given = Map((Rule("a", "b", ("cast float32",)), Rule("l/{n}/{x}/w", "l/{x}/w")), drop=("c",))
    with pytest.raises(MapError) as caught:
        given.inverse()
    assert caught.value.problems == (
        "the arrays 'c' are left out",
        "a -> b: 'cast float32' does not have an inverse",
        "l/{n}/{x}/w -> l/{x}/w: without {n}, the target does not say which source it comes from: write a rule for each",
    )
