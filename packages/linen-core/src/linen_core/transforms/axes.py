"""Which axis of a value a transform maps over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core.errors import TransformAxisError
from linen_core.transforms._packing import Groups
from linen_core.typing import AxesPytree, In, Out, PyTree

__all__ = ["broadcast"]


class _Broadcast:
    """The type of `broadcast`."""

    def __repr__(self) -> str:
        return "broadcast"


broadcast = _Broadcast()
"""In place of an axis of `scan`: the value is the same in all steps."""


def split_in_out(axes: Mapping[Any, Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Part axes by collection into those of variables that go in and those of variables that come out."""
    inward = {name: _axis(axis) for name, axis in axes.items() if not isinstance(axis, Out)}
    outward = {name: _axis(axis) for name, axis in axes.items() if not isinstance(axis, In)}
    return inward, outward


def _axis(axis: Any) -> Any:
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
    """Raise where an array does not have the axis that a transform is to map over.

    Args:
      transform: its name.
      scope_path: path of the module.
      argument: the argument that names the axes.
      axes: the axis of each value; what is no integer is passed over.
      values: trees of arrays.
      makes_axis: whether the transform adds the axis to the arrays.

    Raises:
      TransformAxisError: an array has no such axis.
    """

    def check(axis: object, value: PyTree) -> None:
        if not isinstance(axis, int):
            return
        for number, leaf in enumerate(jax.tree.leaves(value)):
            ndim = np.ndim(leaf) + makes_axis
            if not -ndim <= axis < ndim:
                where = _where(scope_path, argument, value, number)
                raise TransformAxisError(transform, argument, axis, ndim, where)

    jax.tree.map(check, axes, values, is_leaf=lambda x: x is None)


def _where(scope_path: str, argument: str, value: PyTree, number: int) -> str:
    """Name the leaf of this number in a tree: a variable by its address, an argument by the module it is for."""
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
    """Raise where results or variables cannot get the axis of a transform where it is to come; see `check_axes`."""
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
    """Find the size of the axis that a transform maps over.

    Args:
      transform: its name, for the errors.
      where: path of the module, for the errors.
      given: the size, if it was given.
      unmapped: stands for no axis.
      axes: the axis of each value.
      values: trees of arrays.

    Raises:
      ValueError: the sizes differ, or none is known.
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
        msg = f"Cannot {transform} {where}: nothing that is mapped tells the size of the axis. Pass {argument}."
        raise ValueError(msg)
    return int(found.pop())


def change_boxes(
    change: Callable[..., Any],
    groups: Sequence[PyTree],
    axes: Sequence[int | None],
    params: dict[Any, Any],
) -> tuple[Any, ...]:
    """Tell the boxes in each group of variables of the axis that comes (`add_axis`) or goes (`remove_axis`)."""
    return tuple(
        group if axis is None else change(group, axis, params)
        for group, axis in zip(groups, axes, strict=True)
    )


def split_keys(
    rng_groups: Groups, splits: Sequence[bool], split: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Split the keys of those groups of RNG streams that are to be split."""
    return tuple(
        jax.tree.map(split, group) if splits_group else group
        for group, splits_group in zip(rng_groups, splits, strict=True)
    )
