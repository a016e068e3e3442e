"""`scan` over modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from linen_core import meta
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.transforms._loop_carry import CarryCheck
from linen_core.transforms._modules import Target, lift_transform
from linen_core.transforms._packing import EMPTY, Group, Groups, Lifted, lifts_scopes, unzip
from linen_core.transforms._scan_axes import has_broadcast, scan_axes
from linen_core.transforms.axes import (
    broadcast,
    change_boxes,
    check_axes,
    check_results,
    common_size,
    split_in_out,
    split_keys,
)
from linen_core.typing import AxesPytree, In, Methods, Out, PyTree

__all__ = ["scan"]


def scan(
    target: Target,
    variable_axes: Mapping[CollectionFilter, int | In[Any] | Out[Any]] = EMPTY,
    variable_broadcast: CollectionFilter = False,
    variable_carry: CollectionFilter = False,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    data_transform: Callable[..., Any] | None = None,
    metadata_params: Mapping[Any, Any] = EMPTY,
    methods: Methods | None = None,
    _split_transpose: bool = False,
    check_constancy_invariants: bool = True,
) -> Target:
    """Lift `jax.lax.scan`: run a module in a loop whose body is compiled once.

    The method takes ``(carry, *args)`` and returns ``(carry, results)``.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection, the axis along which its variables differ from step to step.
      variable_broadcast: collections whose variables are the same in all steps.
      variable_carry: collections whose variables are passed from step to step. They must exist before the loop. If they
        are immutable, all steps read the same values.
      split_rngs: for each RNG stream, whether every step gets a different key.
      in_axes: the scanned axis of each argument after the carry, or `nn.broadcast` for an argument that is the same in
        all steps.
      out_axes: the scanned axis of the results, or `nn.broadcast` for results that are the same in all steps.
      length: number of steps; needed if no argument and no variable is scanned.
      reverse: whether to run from the last step to the first.
      unroll: number of steps in one iteration of the compiled loop.
      data_transform: a function that changes the groups of variables and of RNG streams inside the loop.
      metadata_params: passed to the boxes of variables, to name the scanned axis (`nn.PARTITION_NAME`).
      methods: for a class, the methods to transform; `__call__` if None.
      _split_transpose: as for `jax.lax.scan`.
      check_constancy_invariants: whether to compute the broadcast variables and outputs that the loop creates.

    Returns:
      A module class, or a function of a module.

    Raises:
      ScanCarryError: a step creates a carried variable, or changes its shape or dtype.
      MissingRngSplitError: a key is drawn from a stream that ``split_rngs`` does not name.
      TransformAxisError: an array does not have the scanned axis.
      UnliftedCollectionError: the module reads or creates variables of a collection that no argument names.
      UnliftedWriteError: the module writes a collection that no argument names.
      ValueError: the lengths of the scanned axes differ, or nothing determines the length; or a broadcast variable or
        output depends on the step.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> class Layer(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, _):
      ...         return nn.Dense(3)(x), None
      >>> Stack = nn.scan(Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=4)
      >>> variables = Stack().init(jax.random.key(0), jnp.ones((1, 3)), None)
      >>> variables["params"]["Dense_0"]["kernel"].shape
      (4, 3, 3)
    """
    return lift_transform(  # type: ignore[no-any-return]
        lift_scan,
        target,
        variable_axes=variable_axes,
        variable_broadcast=variable_broadcast,
        variable_carry=variable_carry,
        split_rngs=split_rngs,
        in_axes=in_axes,
        out_axes=out_axes,
        length=length,
        reverse=reverse,
        unroll=unroll,
        data_transform=data_transform,
        metadata_params=metadata_params,
        methods=methods,
        _split_transpose=_split_transpose,
        check_constancy_invariants=check_constancy_invariants,
    )


def lift_scan(
    fn: Callable[..., Any],
    variable_axes: Mapping[CollectionFilter, Any] = EMPTY,
    variable_broadcast: CollectionFilter = False,
    variable_carry: CollectionFilter = False,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    length: int | None = None,
    data_transform: Callable[..., Any] | None = None,
    metadata_params: Mapping[Any, Any] = EMPTY,
    check_constancy_invariants: bool = True,
    **scan_options: object,
) -> Callable[..., Any]:
    """Lift `jax.lax.scan`, with its further options, to functions of scopes; see `scan`."""
    (in_filters, variable_in_axes), (out_filters, variable_out_axes) = split_in_out(variable_axes)
    rng_filters, splits = unzip(split_rngs.items())
    rng_axes = tuple(0 if split else broadcast for split in splits)
    params = dict(metadata_params)
    _check_axes((*variable_in_axes, *variable_out_axes))
    has_broadcast_results = has_broadcast(out_axes, check_constancy_invariants)

    in_all = (variable_broadcast, variable_carry, *in_filters)
    out_all = (variable_broadcast, variable_carry, *out_filters)

    @lifts_scopes(in_all, out_all, rng_filters, "scan")
    def run(lifted: Lifted, init: PyTree, *args: PyTree) -> Any:
        where = lifted.where
        check_axes("scan", where, "in_axes", in_axes, args)
        steps = common_size("scan", where, length, broadcast, in_axes, args)
        rng_groups = split_keys(lifted.rng_groups, splits, lambda key: jax.random.split(key, steps))
        fixed, carried, *scanned = lifted.variable_groups
        fixed, carried = lifted.share_immutable(fixed, carried)
        check = CarryCheck("scan", where)
        scanned_in = change_boxes(meta.remove_axis, scanned, variable_in_axes, params)
        check_axes("scan", where, "variable_axes", variable_in_axes, scanned_in)

        def step(fixed: Group, carry: PyTree, scanned: Groups, rngs: Groups, args: PyTree) -> Any:
            carried, value = carry
            groups = (fixed, carried, *scanned)
            if data_transform is not None:
                groups, rngs = data_transform(groups, rngs)
            (value, results), out_groups = lifted.call(fn, groups, rngs, value, *args)
            fixed_out, written, *scanned_out = out_groups
            check.record(carried, written)
            out = tuple(scanned_out)
            check_results("scan", where, out_axes, results, variable_out_axes, out)
            fixed_out = tuple(
                before | after for before, after in zip(fixed, fixed_out, strict=True)
            )
            return fixed_out, (written, value), (results, out)

        # RNG streams need the extra trace too. It increments the RNG counters, and flax draws from the incremented
        # counters inside the loop: without it the keys would differ.
        makes_constants = has_broadcast_results or lifted.writes(variable_broadcast)
        finds_constants = makes_constants or bool(jax.tree.leaves(lifted.rng_groups))
        loop = scan_axes(
            step,
            in_axes=(variable_in_axes, rng_axes, in_axes),
            out_axes=(out_axes, variable_out_axes),
            finds_constants=check_constancy_invariants and finds_constants,
            where=where,
            length=length,
            **scan_options,
        )
        with check.named_errors():
            fixed, (carried, value), (results, scanned_out) = loop(
                fixed, (carried, init), scanned_in, rng_groups, args
            )
        scanned_out = change_boxes(meta.add_axis, scanned_out, variable_out_axes, params)
        return (value, results), (fixed, carried, *scanned_out)

    return run


lift_scan.__name__ = "scan"  # the returned class is named after it: ScanBlock


def _check_axes(variable_axes: tuple[Any, ...]) -> None:
    for axis in variable_axes:
        if not isinstance(axis, int):
            msg = f"An axis in variable_axes of scan must be an int; found {axis!r}. Use variable_broadcast for None."
            raise AssertionError(msg)
