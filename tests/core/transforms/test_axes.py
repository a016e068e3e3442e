"""The axes of `nn.vmap` and `nn.scan`: their common size, and arrays that do not have them."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors
from linen_core.transforms.axes import broadcast, check_axes, common_size, split_in_out, split_keys
from linen_core.typing import In, Out

X = jnp.ones((4, 3))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, y=None):
        return self.variable("state", "w", jnp.ones, (5,)).value, x


def apply(transform, *args, variables=None, **options):
    return transform(Block, variable_axes={"state": 0}, **options)().apply(variables or {}, *args)


CALLS = {
    "arguments of different sizes": (
        lambda: apply(nn.vmap, X, jnp.ones(2)),
        "Cannot vmap /vmap() over axes of different sizes: found [2, 4]. Check in_axes and variable_axes.",
    ),
    "a variable of another size": (
        lambda: apply(nn.vmap, X, variables={"state": {"w": jnp.ones((3, 5))}}),
        "Cannot vmap /vmap() over axes of different sizes: found [3, 4]. Check in_axes and variable_axes.",
    ),
    "lengths that differ": (
        lambda: apply(nn.scan, X, (X, X[:2])),
        "Cannot scan /scan() over axes of different sizes: found [2, 4]. Check in_axes and variable_axes.",
    ),
    "no size": (
        lambda: apply(nn.vmap, X, in_axes=None),
        "Cannot vmap /vmap(): no mapped value determines the size of the axis. Pass axis_size.",
    ),
    "no length": (
        lambda: apply(nn.scan, X, None),
        "Cannot scan /scan(): no mapped value determines the size of the axis. Pass length.",
    ),
    "an argument without the axis": (
        lambda: apply(nn.vmap, X, in_axes=2),
        "Cannot vmap /vmap() over axis 2 of an array with 2 axes. Change in_axes.",
    ),
    "a scalar among the arguments": (
        lambda: apply(nn.vmap, X, 1.0),
        "Cannot vmap /vmap() over axis 0 of an array with 0 axes. Change in_axes.",
    ),
    "a scanned argument without the axis": (
        lambda: apply(nn.scan, X, X, in_axes=-3),
        "Cannot scan /scan() over axis -3 of an array with 2 axes. Change in_axes.",
    ),
    "a variable without the axis": (
        lambda: apply(nn.vmap, X, variables={"state": {"w": jnp.ones(())}}),
        "Cannot vmap state/vmap()/w over axis 0 of an array with 0 axes. Change variable_axes.",
    ),
    "a result without the axis": (
        lambda: apply(nn.vmap, X, variables={"state": {"w": jnp.ones((4, 5))}}, out_axes=3),
        "Cannot vmap /vmap() over axis 3 of an array with 2 axes. Change out_axes.",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_sizes_and_axes_that_cannot_work_are_named(name):
    call, text = CALLS[name]
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("given", "axes", "values", "expected"),
    [
        (None, 0, X, 4),
        (None, 1, X, 3),
        (None, -1, X, 3),
        (None, (0, None), (X, 1.0), 4),
        (None, ({"a": 1, "b": None},), ({"a": X, "b": 2.0},), 3),
        (None, (0, 1), (X, (jnp.ones((2, 4)), jnp.ones((1, 4)))), 4),
        (7, None, X, 7),
        (7, 0, {}, 7),
    ],
)
def test_mapped_values_have_one_size(given, axes, values, expected):
    assert common_size("vmap", "/", given, None, axes, values) == expected


def test_values_marked_as_unmapped_have_no_size():
    assert common_size("scan", "/", None, broadcast, (broadcast, 1), (jnp.ones(9), X)) == 3


def test_axes_enter_and_leave_unless_they_are_marked():
    axes = {"params": 0, "cache": In(1), "sown": Out(2), "shared": None}
    entering, leaving = split_in_out(axes)
    assert entering == (("params", "cache", "shared"), (0, 1, None))
    assert leaving == (("params", "sown", "shared"), (0, 2, None))


def test_an_axis_that_a_transform_adds_counts():
    check_axes("vmap", "/", "out_axes", 2, X, makes_axis=True)
    with pytest.raises(errors.TransformAxisError):
        check_axes("vmap", "/", "out_axes", 2, X)


def test_only_chosen_groups_of_keys_are_split():
    groups = ({"params": 1}, {"dropout": 2, "noise": 3})
    assert split_keys(groups, (False, True), lambda key: 10 * key) == (
        {"params": 1},
        {"dropout": 20, "noise": 30},
    )


def test_broadcast_is_shown_by_its_name():
    assert repr(nn.broadcast) == "broadcast"
    assert jax.tree.leaves((0, nn.broadcast)) == [0, nn.broadcast]
