"""`map_variables` and `add_metadata_axis`: modules that see their variables otherwise than they are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from linen_core import meta
from linen_core.filters import CollectionFilter, PRNGSequenceFilter, subtract_filters
from linen_core.transforms._modules import Target, lift_transform
from linen_core.transforms._packing import Lifted, lifts_scopes
from linen_core.typing import Axis, Collections, Methods

__all__ = ["add_metadata_axis", "map_variables"]

_NONE: Mapping[Any, Any] = MappingProxyType({})


def _same(variables: Collections) -> Any:
    return variables


def map_variables(
    target: Target,
    mapped_collections: CollectionFilter = True,
    trans_in_fn: Callable[..., Any] = _same,
    trans_out_fn: Callable[..., Any] = _same,
    init: bool = False,
    mutable: bool = False,
    rngs: PRNGSequenceFilter = True,
    variables: CollectionFilter = True,
    methods: Methods | None = None,
) -> Target:
    """Change variables on their way into a module, and on their way out.

    Args:
      target: a module class, or a function whose first argument is a module.
      mapped_collections: which collections are changed.
      trans_in_fn: function of a nested dict of the collections, giving what the module sees.
      trans_out_fn: function of a nested dict of what the module wrote, giving what is kept.
      init: whether to make missing variables first, by a call of the module, and change them on the way out.
      mutable: whether the module may write the changed collections.
      rngs: which RNG streams are there inside.
      variables: which other collections are there inside.
      methods: for a class the methods to transform; `__call__` if None.

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
    """Lift a change of variables to functions of scopes; see `map_variables`."""
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
            scopes = lifted.open((mapped, others), lifted.rng_groups)
            fn(scopes, *args, **kwargs)
            mapped = tuple(map(trans_out_fn, lifted.close(scopes)[0]))
        writable = True if writes else subtract_filters(True, mapped_collections)
        seen = tuple(map(trans_in_fn, mapped))
        scopes = lifted.open((seen, others), lifted.rng_groups, mutable=writable)
        result = fn(scopes, *args, **kwargs)
        mapped_out, others_out = lifted.close(scopes)
        if writes:
            mapped_out = tuple(map(trans_out_fn, mapped_out))
        return result, (mapped_out, others_out)

    return run


lift_map_variables.__name__ = "map_variables"  # names the class it makes: Map_variablesDense


def add_metadata_axis(
    target: Target,
    variable_axes: Mapping[CollectionFilter, Any] = _NONE,
    metadata_params: Mapping[Any, Any] = _NONE,
) -> Target:
    """Name an axis of a module's variables in their boxes that the module itself does not know of.

    Args:
      target: a module class, or a function whose first argument is a module.
      variable_axes: for each collection the axis.
      metadata_params: handed to the boxes, so that they name the axis (`nn.PARTITION_NAME`).

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
            trans_in_fn=_changed_by(meta.remove_axis, axis, params),
            trans_out_fn=_changed_by(meta.add_axis, axis, params),
            mutable=True,
        )
    return target


def _changed_by(
    change: Callable[..., Any], axis: Axis, params: dict[Any, Any]
) -> Callable[[Any], Any]:
    return lambda variables: change(variables, axis, params)
