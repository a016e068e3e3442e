"""`linen_core.axes_scan` does what flax.core.axes_scan does."""

import inspect

import flax.core.axes_scan
import jax
import jax.numpy as jnp
import pytest

from linen_core import axes_scan
from parity._compare import assert_same_error, assert_same_tree

LIBRARIES = (axes_scan, flax.core.axes_scan)
XS = jnp.arange(24.0).reshape(2, 3, 4)


def body(constants, carry, x, y=0.0):
    return constants + 2, carry + x.sum(), (x * constants + y, constants * 3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reverse": True, "unroll": 2},
        {"length": 2},
        {"check_constancy_invariants": False},
        {"_split_transpose": True},
    ],
)
@pytest.mark.parametrize("in_axes", [0, 1, -1])
@pytest.mark.parametrize("out_axes", [0, 1, -1])
def test_scan(options, in_axes, out_axes):
    def run(library):
        loop = library.scan(body, in_axes, (out_axes, 0), **options)
        return loop(jnp.float32(3), 1.0, XS)

    if options.get("length", XS.shape[in_axes]) == XS.shape[in_axes]:
        assert_same_tree(*map(run, LIBRARIES))
    else:
        assert_same_error(lambda: run(axes_scan), lambda: run(flax.core.axes_scan))


def test_arguments_and_results_that_are_the_same_in_all_steps():
    def run(library):
        axes = ((1, library.broadcast), (2, library.broadcast))
        return library.scan(body, *axes)(jnp.float32(3), jnp.zeros(()), XS, XS[:, 0])

    assert_same_tree(*map(run, LIBRARIES))


@pytest.mark.parametrize(
    "run",
    [
        lambda library: library.scan(lambda b, c, x: (b + x, c, x), 0, 0)(0.0, 0.0, XS),
        lambda library: library.scan(body, 0, (0, library.broadcast))(XS[0] * 0, 0.0, XS),
        lambda library: library.scan(
            body, 0, (0, library.broadcast), check_constancy_invariants=False
        )(0.0, 0.0, XS),
        lambda library: library.scan(lambda b, c, x: (b, c, c), 0, library.broadcast)(0.0, 0.0, XS),
        lambda library: library.scan(lambda b, c, x: (b, c, x), 0, 5)(0.0, 0.0, XS),
    ],
)
def test_same_outcome(run):
    try:
        expected = run(flax.core.axes_scan)
    except Exception:
        assert_same_error(lambda: run(axes_scan), lambda: run(flax.core.axes_scan))
    else:
        assert_same_tree(run(axes_scan), expected)


def test_message_for_a_constant_that_depends_on_the_step():
    with pytest.raises(
        ValueError, match=r"The broadcast constant of axes_scan\.scan, float32.*carry"
    ):
        axes_scan.scan(lambda b, c, x: (b + x, c, x), 0, 0)(0.0, 0.0, jnp.arange(3.0))


@pytest.mark.parametrize("batch_dim", [False, True])
def test_shapes_without_values(batch_dim):
    ours, theirs = (library.build_shaped_array(XS, batch_dim) for library in LIBRARIES)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert (
        axes_scan.build_shaped_array(1.0).shape == flax.core.axes_scan.build_shaped_array(1.0).shape
    )


def test_names_and_arguments():
    for name in ("scan", "build_shaped_array"):
        ours, theirs = (inspect.signature(getattr(lib, name)).parameters for lib in LIBRARIES)
        assert [(p.name, p.default) for p in ours.values()] == [
            (p.name, p.default) for p in theirs.values()
        ]
    assert jax.tree.leaves(axes_scan.broadcast) == [axes_scan.broadcast]
