"""Each view is a NumPy function of its sources; where there is an inverse, it gives the source back."""

import hypothesis
import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest

import linen_core as nn
from linen_store import views
from linen_store.errors import (
    PatternUnmatchedError,
    RenamePatternError,
    StoreDtypeError,
    ViewError,
)

A = np.arange(24.0).reshape(2, 3, 4)


def store(**arrays):
    return {"params": arrays}


def assert_same(view, expected):
    found = view.snapshot() if isinstance(view, nn.VariableStore) else view
    assert {name: list(tree) for name, tree in found.items()} == {
        name: list(tree) for name, tree in expected.items()
    }
    for name, tree in expected.items():
        for key, value in tree.items():
            if isinstance(value, dict):
                assert_same({name: found[name][key]}, {name: value})
            else:
                np.testing.assert_array_equal(found[name][key], value)
                assert found[name][key].dtype == value.dtype
                spec = view.spec(name, (key,)) if isinstance(view, nn.VariableStore) else value
                assert spec.shape == value.shape


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (views.transpose(store(w=A), "w"), store(w=A.T)),
        (views.transpose(store(w=A), "w", (1, 2, 0)), store(w=A.transpose(1, 2, 0))),
        (views.reshape(store(w=A), "w", (6, -1)), store(w=A.reshape(6, 4))),
        (
            views.cast(store(w=A, n=np.arange(3)), np.float32),
            store(w=A.astype(np.float32), n=np.arange(3)),
        ),
        (views.slice_axis(store(w=A), "w", 1, 1, 3), store(w=A[:, 1:3])),
        (views.slice_axis(store(w=A), "w", -1, 0, 1), store(w=A[..., :1])),
        (
            views.resize(store(w=A), "w", (2, 2, 5), 7),
            store(w=np.pad(A[:, :2], ((0, 0), (0, 0), (0, 1)), constant_values=7)),
        ),
        (
            views.concatenate(store(q=A, k=2 * A, o=A), ["params/q", "params/k"], "params/qk", -1),
            store(o=A, qk=np.concatenate([A, 2 * A], -1)),
        ),
        (
            views.split(store(qk=A), "params/qk", {"params/q": 1, "params/k": 3}, 2),
            store(q=A[..., :1], k=A[..., 1:]),
        ),
        (views.stack(store(l0=A, l1=2 * A), r"l(\d)", "ls", 1), store(ls=np.stack([A, 2 * A], 1))),
        (views.unstack(store(ls=A), "ls", "l{}", 1), store(l0=A[:, 0], l1=A[:, 1], l2=A[:, 2])),
        (views.average(store(w=A), store(w=3 * A)), store(w=2 * A)),
        (
            views.compute(
                store(v=A, g=A), ["params/v", "params/g"], "params/w", lambda v, g: v * g
            ),
            store(w=A * A),
        ),
        (views.select(store(a=A, b=A), "a$"), store(a=A)),
        (views.drop(store(a=A, b=A), "a$"), store(b=A)),
        (views.mount(store(a=A), "params/inner", "params"), store(inner={"a": A})),
        (
            views.move(store(t={"a": A}, b=A), "params/t", "stats"),
            {"params": {"b": A}, "stats": {"a": A}},
        ),
        (
            views.pad(store(w=A, v=A), "w", -2, 1, 0, 7),
            store(w=np.pad(A, ((0, 0), (1, 0), (0, 0)), constant_values=7), v=A),
        ),
    ],
)
def test_a_view_is_the_function_of_numpy(view, expected):
    assert_same(view, expected)


TREES = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), min_size=1)


@hypothesis.given(TREES, st.permutations(range(3)))
def test_views_and_their_inverses(tree, axes):
    original = {"params": {name: A + number for name, number in tree.items()}}
    inverse = tuple(np.argsort(axes).tolist())
    round_trips = {
        "transpose": lambda s: views.transpose(views.transpose(s, "", axes), "", inverse),
        "reshape": lambda s: views.reshape(views.reshape(s, "", (4, 6)), "", A.shape),
        "unstack": lambda s: views.stack(views.unstack(s, "$", "/l{}", 1), r"/l(\d)$", "", 1),
        "rename": lambda s: views.rename(views.rename(s, {"/": "/x/"}), {"/x/": "/"}),
        "mount": lambda s: views.mount(views.mount(s, "all"), "", "all"),
        "resize": lambda s: views.resize(views.resize(s, "", (5, 5, 5), 0), "", A.shape, 0),
    }
    for make in round_trips.values():
        assert_same(make(original), original)


def test_concatenate_and_split_are_inverses():
    parts = {"params/q": 1, "params/k": 2, "params/v": 1}
    original = {"params": {"q": A[..., :1], "k": A[..., 1:3], "v": A[..., 3:]}}
    fused = views.concatenate(original, list(parts), "params/qkv", 2)
    assert_same(fused, store(qkv=A))
    assert_same(views.split(fused, "params/qkv", parts, 2), original)


def test_overlay_takes_the_first():
    adapter, base = store(head=A), {"params": {"head": 2 * A, "trunk": A}, "stats": {"m": A}}
    view = views.overlay(adapter, base)
    assert_same(view, {"params": {"head": A, "trunk": A}, "stats": {"m": A}})


def test_an_overlay_leaves_the_views_below_alone():
    below = views.overlay({"params": {"inner": {}}})
    above = views.overlay(below, {"params": {"inner": {"w": A}}})
    assert above.leaves("params") == (("inner", "w"),)
    assert below.snapshot() == {"params": {"inner": {}}}


def test_low_precision_is_averaged_in_32_bits():
    values = [np.full(2, v, ml_dtypes.bfloat16) for v in (256, 1, 1)]
    (mean,) = views.average(*(store(w=v) for v in values)).read("params", [("w",)])
    assert mean.dtype == ml_dtypes.bfloat16
    assert mean.tolist() == [86.0, 86.0]


PROBLEMS = {
    "transpose": (
        lambda: views.transpose(store(w=A), "w", (0, 1)),
        "params/w: cannot transpose an array of shape (2, 3, 4) by (0, 1): expected each of 0 ... 2 once",
    ),
    "reshape": (
        lambda: views.reshape(store(w=A), "w", (5, -1)),
        "params/w: cannot reshape (2, 3, 4) to (5, -1): expected a shape of 24 elements",
    ),
    "hole": (
        lambda: views.stack(store(l0=A, l2=A), r"l(\d)", "ls"),
        "params/ls: a hole in the stack: 1 is missing, but params/l2 exists",
    ),
    "one number twice": (
        lambda: views.stack(store(b_0=A, b_00=2 * A), r"b_(\d+)", "bs"),
        "params/bs: params/b_0 and params/b_00 have the same number 0",
    ),
    "no number": (
        lambda: views.stack(store(b_x=A), r"b_(\w+)", "bs"),
        "params/bs: params/b_x: expected a number, found 'x'",
    ),
    "stack into a name that exists": (
        lambda: views.stack(store(b_0=A, bs=A), r"b_(\d+)", "bs"),
        "params/bs: two arrays get this name",
    ),
    "unstack into a name that exists": (
        lambda: views.unstack(store(bs=A, b_0=A), "bs", "b_{}"),
        "params/b_0: two arrays get this name",
    ),
    "unstack without a number": (
        lambda: views.unstack(store(bs=A), "bs", "x"),
        "'x': expected {} in the place of the number",
    ),
    "rename to one name": (
        lambda: views.rename(store(a=A, b=A), {"/(a|b)$": "/c"}),
        "params/c: two arrays get this name",
    ),
    "rename below an array": (
        lambda: views.rename(store(b=A, a=A), {"/b$": "/x", "/a$": "/x/y"}),
        "params/x/y: params/x is an array, so nothing can be below it",
    ),
    "rename above an array": (
        lambda: views.rename(store(a=A, b=A), {"/b$": "/x", "/a$": "/x/y"}),
        "params/x: other arrays are below it",
    ),
    "concatenate into a name that exists": (
        lambda: views.concatenate(store(a=A, b=A, c=A), ["params/a", "params/b"], "params/c"),
        "params/c: two arrays get this name",
    ),
    "concatenate nothing": (
        lambda: views.concatenate(store(a=A), [], "params/c"),
        "params/c: expected at least one array",
    ),
    "average of nothing": (views.average, "expected at least one store"),
    "a function that fails": (
        lambda: views.compute(store(a=A), ["params/a"], "params/a", lambda a: 1 / 0),
        "params/a: the function raises ZeroDivisionError: division by zero",
    ),
    "a leaf that is not an array": (
        lambda: views.transpose(store(a=(A, A)), "a"),
        "params/a: params/a is not one array",
    ),
    "shapes": (
        lambda: views.stack(store(l0=A, l1=A[0]), r"l(\d)", "ls"),
        "params/ls: cannot stack float64(2, 3, 4) and float64(3, 4): expected one shape",
    ),
    "concatenate": (
        lambda: views.concatenate(store(a=A, b=A[0]), ["params/a", "params/b"], "params/c"),
        "params/c: cannot concatenate float64(2, 3, 4) and float64(3, 4) along axis 0: expected the same dtype, and the "
        "same sizes of the other axes",
    ),
    "split": (
        lambda: views.split(store(a=A), "params/a", {"params/b": 1}, 1),
        "params/a: the parts have 1 of 3 indices of axis 1",
    ),
    "missing": (
        lambda: views.concatenate(store(a=A), ["params/a", "params/b"], "params/c"),
        "params/b: the store does not have this array",
    ),
    "unstack": (
        lambda: views.unstack(store(a=A), "a", "a{}", 3),
        "params/a: cannot take axis 3 of ShapeDtypeStruct(shape=(2, 3, 4), dtype=float64) apart",
    ),
    "slice": (
        lambda: views.slice_axis(store(a=A), "a", 0, 1, 5),
        "params/a: cannot take 1:5 of axis 0 of an array of shape (2, 3, 4)",
    ),
    "resize": (
        lambda: views.resize(store(a=A), "a", (2, 3), 0),
        "params/a: cannot resize (2, 3, 4) to (2, 3): expected 3 axes",
    ),
    "pad": (
        lambda: views.pad(store(a=A), "a", 0, 1, -1),
        "params/a: cannot pad axis 0 of an array of shape (2, 3, 4) by 1 and -1",
    ),
    "move": (
        lambda: views.move(store(a=A, b=A), "params/a", "params/b"),
        "params/b: two arrays get this name",
    ),
    "average": (
        lambda: views.average(store(a=A), store(b=A)),
        "params/a: only some of the stores have it\n  params/b: only some of the stores have it",
    ),
    "overlay": (
        lambda: views.overlay(store(a=A), store(a={"b": A})),
        "params/a/b: params/a is an array, so nothing can be below it",
    ),
    "compute": (
        lambda: views.compute(store(a=A), ["params/a"], "params/a", lambda a: (a, a)),
        "params/a: expected a function that returns one array, found tuple",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_does_not_fit_is_refused_before_anything_is_read(name):
    make, problem = PROBLEMS[name]
    with pytest.raises(ViewError) as caught:
        make()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("Cannot make the view ")
    assert lines[-1] == (
        "Compare the names and shapes with store.spec(collection), and change the arguments."
    )
    assert "\n".join(lines[1:-1]) == f"  {problem}"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: views.rename(store(a=A), {"x": "y"}), PatternUnmatchedError),
        (lambda: views.rename(store(a=A), {"(": "y"}), RenamePatternError),
        (lambda: views.rename(store(a=A), {"a": r"\2"}), RenamePatternError),
        (lambda: views.select(store(a=A), "a", "z"), PatternUnmatchedError),
        (lambda: views.drop(store(a=A), "z"), PatternUnmatchedError),
        (lambda: views.mount(store(a=A), "x", "stats"), PatternUnmatchedError),
        (lambda: views.move(store(a=A), "params/z", "x"), PatternUnmatchedError),
        (lambda: views.stack(store(a=A), r"l(\d)", "l"), PatternUnmatchedError),
        (lambda: views.unstack(store(a=A), "l", "l{}"), PatternUnmatchedError),
        (lambda: views.cast(store(a=A), "int8"), StoreDtypeError),
        (lambda: views.transpose(store(a=A), "z"), PatternUnmatchedError),
        (lambda: views.stack(store(l0=A), "(", "ls"), RenamePatternError),
        (lambda: views.stack(store(l0=A), "l0", "ls"), RenamePatternError),
        (lambda: views.unstack(store(ls=A), "(", "l{}"), RenamePatternError),
    ],
)
def test_patterns_and_names_that_are_wrong(make, error):
    with pytest.raises(error):
        make()
