"""`map_variables` and `add_metadata_axis`: transform variables on the way into and out of a module."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from linen_core import meta
from linen_core.filters import CollectionFilter, PRNGSequenceFilter, subtract_filters
from linen_core.transforms._modules import Target, lift_transform
from linen_core.transforms._packing import EMPTY, Lifted, lifts_scopes
from linen_core.typing import Collections, Methods

__all__ = ["add_metadata_axis", "map_variables"]


def _identity(variables: Collections) -> Any:
    return variables


def map_variables(
    target: Target,
    mapped_collections: CollectionFilter = True,
    trans_in_fn: Callable[..., Any] = _identity,
    trans_out_fn: Callable[..., Any] = _identity,
    init: bool = False,
    mutable: bool = False,
    rngs: PRNGSequenceFilter = True,
    variables: CollectionFilter = True,
    methods: Methods | None = None,
) -> Target:
    """Transform variables on the way into a module, and back on the way out.

    Args:
      target: a module class, or a function whose first argument is a module.
      mapped_collections: the collections to transform.
      trans_in_fn: function from the stored collections, a nested dict, to those that the module reads.
      trans_out_fn: function from the collections that the module wrote, a nested dict, to those that are stored.
      init: whether to create missing variables first, by an extra call of the module, and store them transformed.
      mutable: whether the module may write the mapped collections.
      rngs: the RNG streams to bring inside.
      variables: further collections to bring inside.
      methods: for a class, the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> def transposed(variables):
      ...     return jax.tree.map(lambda x: x.T, variables)
      >>> Transposed = nn.map_variables(nn.Dense, "params", transposed, transposed, init=True)
      >>> Transposed(2).init(jax.random.key(0), jnp.ones((1, 3)))["params"]["kernel"].shape
      (2, 3)
    """
    return lift_transform(  # type: ignore[no-any-return]
        lift_map_variables,
        target,
        mapped_collections,
        trans_in_fn,
        trans_out_fn,
        init,
        mutable,
        rngs,
        variables,
        methods=methods,
    )


def lift_map_variables(
    fn: Callable[..., Any],
    mapped_collections: CollectionFilter,
    trans_in_fn: Callable[..., Any],
    trans_out_fn: Callable[..., Any],
    init: bool = False,
    mutable: bool = False,
    rngs: PRNGSequenceFilter = True,
    variables: CollectionFilter = True,
) -> Callable[..., Any]:
    """Lift `map_variables` to functions of scopes."""
    writes = mutable or init
    out_filters = (
        (mapped_collections, variables)
        if writes
        else (False, subtract_filters(variables, mapped_collections))
    )

    @lifts_scopes(
        (mapped_collections, variables), out_filters, (rngs,), "map_variables", takes_kwargs=True
    )
    def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
        mapped, others = lifted.variable_groups
        if init and lifted.writes(True):
            _, groups = lifted.call(fn, (mapped, others), lifted.rng_groups, *args, **kwargs)
            mapped = tuple(map(trans_out_fn, groups[0]))
        # Without `writes` no out filter selects a mapped collection, which makes it immutable inside.
        inner = (tuple(map(trans_in_fn, mapped)), others)
        result, (mapped_out, others_out) = lifted.call(
            fn, inner, lifted.rng_groups, *args, **kwargs
        )
        if writes:
            mapped_out = tuple(map(trans_out_fn, mapped_out))
        return result, (mapped_out, others_out)

    return run


lift_map_variables.__name__ = (
    "map_variables"  # the returned class is named after it: Map_variablesDense
)


def add_metadata_axis(
    target: Target,
    variable_axes: Mapping[CollectionFilter, Any] = EMPTY,
    metadata_params: Mapping[Any, Any] = EMPTY,
) -> Target:
    """Add an axis to the metadata of a module's boxed variables; inside the module the axis is hidden.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: the axis for each collection.
      metadata_params: passed to the boxes, to name the axis (`nn.PARTITION_NAME`).

    Returns:
      A module class, or a function of a module.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> init = nn.with_partitioning(nn.initializers.ones, ("layers", None, None))
      >>> named = {nn.PARTITION_NAME: "layers"}
      >>> Dense = nn.add_metadata_axis(nn.Dense, variable_axes={"params": 0}, metadata_params=named)
      >>> inner = nn.with_partitioning(nn.initializers.ones, (None, "model"))
      >>> Dense(2, kernel_init=inner).init(jax.random.key(0), jnp.ones((1, 3)))["params"]["kernel"].names
      ('layers', None, 'model')
    """
    params = dict(metadata_params)
    for collection, axis in variable_axes.items():
        target = map_variables(
            target,
            collection,
            trans_in_fn=functools.partial(meta.remove_axis, index=axis, params=params),
            trans_out_fn=functools.partial(meta.add_axis, index=axis, params=params),
            mutable=True,
        )
    return target
