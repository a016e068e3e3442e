"""The mapped or scanned axes of variables, arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core.errors import TransformAxisError
from linen_core.transforms._packing import Groups, unzip
from linen_core.typing import AxesPytree, In, Out, PyTree

__all__ = ["broadcast"]


class _Broadcast:
    """The type of `broadcast`."""

    def __repr__(self) -> str:
        return "broadcast"


broadcast = _Broadcast()
"""Replaces an axis of `scan`: the value is the same in all steps."""


def split_in_out(variable_axes: Mapping[Any, Any]) -> tuple[Any, Any]:
    """Split the axes of collections into those for entering and those for leaving a transform.

    Returns:
      Twice a pair of the filters of the collections and their axes.
    """
    pairs = variable_axes.items()
    entering = unzip((col, _plain(axis)) for col, axis in pairs if not isinstance(axis, Out))
    leaving = unzip((col, _plain(axis)) for col, axis in pairs if not isinstance(axis, In))
    return entering, leaving


def _plain(axis: Any) -> Any:
    return axis.axis if isinstance(axis, In | Out) else axis


def check_axes(
    transform: str,
    scope_path: str,
    argument: str,
    axes: AxesPytree,
    values: PyTree,
    *,
    makes_axis: bool = False,
) -> None:
    """Check that arrays have the axis that a transform maps over.

    JAX would report a missing axis without the name of the module or variable.

    Args:
      transform: name of the transform.
      scope_path: path of the module.
      argument: the argument that names the axes.
      axes: the axis of each value; a value whose axis is not an integer is skipped.
      values: trees of arrays.
      makes_axis: whether the transform adds the axis to the arrays.

    Raises:
      TransformAxisError: an array does not have the axis.
    """

    def check(axis: object, value: PyTree) -> None:
        if not isinstance(axis, int):
            return
        for number, leaf in enumerate(jax.tree.leaves(value)):
            ndim = np.ndim(leaf) + makes_axis
            if not -ndim <= axis < ndim:
                where = _leaf_path(scope_path, argument, value, number)
                raise TransformAxisError(transform, argument, axis, ndim, where)

    jax.tree.map(check, axes, values, is_leaf=lambda x: x is None)


def _leaf_path(scope_path: str, argument: str, value: PyTree, number: int) -> str:
    """Return the path of a leaf if it is a variable, and the path of the module if it is an argument."""
    path, _ = jax.tree_util.tree_leaves_with_path(value)[number]
    names = [str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey)]
    if argument == "variable_axes":
        names[1:1] = scope_path.strip("/").split("/")
    return "/".join(filter(None, names)) if names else scope_path


def check_results(
    transform: str,
    scope_path: str,
    out_axes: AxesPytree,
    results: PyTree,
    variable_axes: AxesPytree,
    groups: Groups,
) -> None:
    """Check that a transform can insert its axis into results and variables; see `check_axes`."""
    check_axes(transform, scope_path, "out_axes", out_axes, results, makes_axis=True)
    check_axes(transform, scope_path, "variable_axes", variable_axes, groups, makes_axis=True)


def common_size(
    transform: str,
    where: str,
    given: int | None,
    unmapped: object,
    axes: AxesPytree,
    values: PyTree,
) -> int:
    """Return the size of the axis that a transform maps over.

    Args:
      transform: name of the transform, for errors.
      where: path of the module, for errors.
      given: the size that the caller passed, or None.
      unmapped: the value in ``axes`` that marks a value as not mapped.
      axes: the axis of each value.
      values: trees of arrays.

    Raises:
      ValueError: the sizes differ, or nothing determines the size.
    """

    def size(axis: Any, value: PyTree) -> Any:
        leaves = () if axis is unmapped else jax.tree.leaves(value)
        return [np.shape(leaf)[axis] for leaf in leaves]

    found = set(jax.tree.leaves(jax.tree.map(size, axes, values, is_leaf=lambda x: x is None)))
    if len(found) > 1:
        msg = (
            f"Cannot {transform} {where} over axes of different sizes: found {sorted(found)}. "
            "Check in_axes and variable_axes."
        )
        raise ValueError(msg)
    if given is not None:
        return given
    if not found:
        argument = "length" if transform == "scan" else "axis_size"
        msg = f"Cannot {transform} {where}: no mapped value determines the size of the axis. Pass {argument}."
        raise ValueError(msg)
    return int(found.pop())


def change_boxes(
    change: Callable[..., Any],
    groups: Sequence[PyTree],
    axes: Sequence[int | None],
    params: dict[Any, Any],
) -> tuple[Any, ...]:
    """Add or remove the axis of a transform (`add_axis`, `remove_axis`) in the boxes of each group of variables."""
    return tuple(
        group if axis is None else change(group, axis, params)
        for group, axis in zip(groups, axes, strict=True)
    )


def split_keys(
    rng_groups: Groups, splits: Sequence[bool], split: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Split the keys of the groups of RNG streams that ``splits`` selects."""
    return tuple(
        jax.tree.map(split, group) if splits_group else group
        for group, splits_group in zip(rng_groups, splits, strict=True)
    )
