"""`vmap` over modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from linen_core import meta
from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.transforms._modules import Target, lift_transform
from linen_core.transforms._packing import Groups, Lifted, lifts_scopes, unzip
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

_NONE: Mapping[Any, Any] = MappingProxyType({})


def vmap(
    target: Target,
    variable_axes: Mapping[CollectionFilter, int | In[Any] | Out[Any] | None] = _NONE,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = _NONE,
    in_axes: AxesPytree = 0,
    out_axes: AxesPytree = 0,
    axis_size: int | None = None,
    axis_name: str | None = None,
    spmd_axis_name: str | None = None,
    metadata_params: Mapping[Any, Any] = _NONE,
    methods: Methods | None = None,
) -> Target:
    """Lift `jax.vmap`: map a module over an axis of its arguments, its variables and its RNG streams.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection the axis of its variables that is mapped over; None to share them.
      split_rngs: for each RNG stream whether every element gets keys of its own.
      in_axes: the mapped axis of each argument, as for `jax.vmap`; only positional arguments are mapped.
      out_axes: the mapped axis of the results.
      axis_size: size of the mapped axis, where no argument and no variable tells it.
      axis_name: name of the axis for collectives.
      spmd_axis_name: mesh axis that the mapped axis is sharded over.
      metadata_params: handed to the boxes of variables, so that they name the new axis (`nn.PARTITION_NAME`).
      methods: for a class the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Raises:
      MissingRngSplitError: a key is drawn from a stream that ``split_rngs`` does not mention.
      TransformAxisError: an array does not have the axis it is to be mapped over.
      UnliftedCollectionError: a collection is read, or to be made, that ``variable_axes`` does not mention.
      UnliftedWriteError: a collection is written that ``variable_axes`` does not mention.
      ValueError: the sizes of the mapped axes differ, or none is known.

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
    metadata_params: Mapping[Any, Any] = _NONE,
) -> Callable[..., Any]:
    """Lift `jax.vmap` to functions of scopes; see `vmap`."""
    axes_in, axes_out = split_in_out(variable_axes)
    in_filters, variable_in_axes = unzip(axes_in.items())
    out_filters, variable_out_axes = unzip(axes_out.items())
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
            scopes = lifted.open(variable_groups, rng_groups)
            result = fn(scopes, *args)
            groups = lifted.close(scopes)
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
    """Tell whether a mapped axis of an argument is sharded over a mesh axis."""
    if axis_name is None:
        return False
    found = jax.tree.map(
        lambda axis, value: (
            ()
            if axis is None
            else [
                jax.typeof(leaf).sharding.spec[axis] == axis_name for leaf in jax.tree.leaves(value)
            ]
        ),
        in_axes,
        args,
        is_leaf=lambda x: x is None,
    )
    return any(jax.tree.leaves(found))


lift_vmap.__name__ = "vmap"  # the class that a transform makes is named after it: VmapDense
