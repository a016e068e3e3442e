"""`vmap` over modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from linen_core import meta
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.transforms._modules import Target, lift_transform
from linen_core.transforms._packing import EMPTY, Groups, Lifted, lifts_scopes, unzip
from linen_core.transforms.axes import (
    change_boxes,
    check_axes,
    check_results,
    common_size,
    split_in_out,
    split_keys,
)
from linen_core.typing import AxesPytree, In, Methods, Out, PRNGKey, PyTree

__all__ = ["vmap"]


def vmap(
    target: Target,
    variable_axes: Mapping[CollectionFilter, int | In[Any] | Out[Any] | None] = EMPTY,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = EMPTY,
    methods: Methods | None = None,
) -> Target:
    """Lift `jax.vmap`: map a module over an axis of its arguments, its variables and its RNG streams.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection, the mapped axis of its variables; None to share them.
      split_rngs: for each RNG stream, whether every index of the mapped axis gets a different key.
      in_axes: the mapped axis of each argument, as for `jax.vmap`; only positional arguments are mapped.
      out_axes: the mapped axis of the results.
      axis_size: size of the mapped axis; needed if no argument and no variable is mapped.
      axis_name: name of the axis for collectives.
      spmd_axis_name: mesh axis that the mapped axis is sharded over.
      metadata_params: passed to the boxes of variables, to name the new axis (`nn.PARTITION_NAME`).
      methods: for a class, the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Raises:
      MissingRngSplitError: a key is drawn from a stream that ``split_rngs`` does not name.
      TransformAxisError: an array does not have the mapped axis.
      UnliftedCollectionError: the module reads or creates a collection that ``variable_axes`` does not name.
      UnliftedWriteError: the module writes a collection that ``variable_axes`` does not name.
      ValueError: the sizes of the mapped axes differ, or nothing determines the size.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> Ensemble = nn.vmap(nn.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None,
      ...                    axis_size=5)
      >>> jax.tree.map(jnp.shape, Ensemble(2).init(jax.random.key(0), jnp.ones((1, 3))))
      {'params': {'bias': (5, 2), 'kernel': (5, 3, 2)}}
    """
    return lift_transform(  # type: ignore[no-any-return]
        lift_vmap,
        target,
        variable_axes,
        split_rngs,
        methods=methods,
        in_axes=in_axes,
        out_axes=out_axes,
        axis_size=axis_size,
        axis_name=axis_name,
        spmd_axis_name=spmd_axis_name,
        metadata_params=metadata_params,
    )


def lift_vmap(
    fn: Callable[..., Any],
    variable_axes: Mapping[CollectionFilter, Any],
    split_rngs: Mapping[PRNGSequenceFilter, bool],
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = EMPTY,
) -> Callable[..., Any]:
    """Lift `jax.vmap` to functions of scopes; see `vmap`."""
    (in_filters, variable_in_axes), (out_filters, variable_out_axes) = split_in_out(variable_axes)
    rng_filters, splits = unzip(split_rngs.items())
    rng_axes = tuple(0 if split else None for split in splits)
    params = dict(metadata_params)

    @lifts_scopes(in_filters, out_filters, rng_filters, "vmap")
    def run(lifted: Lifted, *args: PyTree) -> Any:
        variable_groups = change_boxes(
            meta.remove_axis, lifted.variable_groups, variable_in_axes, params
        )
        where = lifted.where
        check_axes("vmap", where, "variable_axes", variable_in_axes, variable_groups)
        check_axes("vmap", where, "in_axes", in_axes, args)
        size = common_size(
            "vmap", where, axis_size, None, (variable_in_axes, in_axes), (variable_groups, args)
        )
        reshard = _shards_over(spmd_axis_name, in_axes, args)

        def split_key(key: PRNGKey) -> Any:
            keys = jax.random.split(key, size)
            return jax.sharding.reshard(keys, jax.P(spmd_axis_name)) if reshard else keys

        rng_groups = split_keys(lifted.rng_groups, splits, split_key)

        def mapped(variable_groups: Groups, rng_groups: Groups, args: tuple[Any, ...]) -> Any:
            result, groups = lifted.call(fn, variable_groups, rng_groups, *args)
            check_results("vmap", where, out_axes, result, variable_out_axes, groups)
            return result, groups

        result, out_groups = jax.vmap(
            mapped,
            in_axes=(variable_in_axes, rng_axes, in_axes),
            out_axes=(out_axes, variable_out_axes),
            axis_name=axis_name,
            axis_size=axis_size,
            spmd_axis_name=spmd_axis_name,
        )(variable_groups, rng_groups, args)
        return result, change_boxes(meta.add_axis, out_groups, variable_out_axes, params)

    return run


def _shards_over(axis_name: str | None, in_axes: AxesPytree, args: tuple[Any, ...]) -> bool:
    """Return whether a mapped axis of an argument is sharded over a mesh axis."""
    if axis_name is None:
        return False

    def is_sharded(axis: int | None, value: PyTree) -> bool:
        specs = (jax.typeof(leaf).sharding.spec for leaf in jax.tree.leaves(value))
        return axis is not None and any(spec[axis] == axis_name for spec in specs)

    found = jax.tree.map(is_sharded, in_axes, args, is_leaf=lambda x: x is None)
    return any(jax.tree.leaves(found))


lift_vmap.__name__ = "vmap"  # the returned class is named after it: VmapDense
