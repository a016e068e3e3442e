"""`remat` (`checkpoint`) and `remat_scan` over modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.module.base import Module
from linen_core.transforms._modules import Target, lift_call, lift_transform, make_lifted
from linen_core.transforms._packing import Groups, Lifted, lifts_scopes
from linen_core.transforms._static import StaticArguments
from linen_core.transforms.loop import lift_scan
from linen_core.typing import Methods

__all__ = ["checkpoint", "remat", "remat_scan"]

_ALL_AXES: Mapping[Any, Any] = MappingProxyType({True: 0})
_ALL_SPLIT: Mapping[Any, bool] = MappingProxyType({True: True})


def checkpoint(
    target: Target,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    methods: Methods | None = None,
) -> Target:
    """Lift `jax.checkpoint`: recompute intermediate values in the backward pass instead of storing them.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.
      concrete: must be False.
      prevent_cse: whether to prevent XLA from undoing the transform by common subexpression elimination. It can be
        False inside `scan`.
      static_argnums: numbers of the arguments that are Python values instead of arrays, such as flags. The module
        is number 0, its first argument number 1. A static argument may be passed by keyword.
      policy: selects intermediate values that are stored nevertheless (`jax.checkpoint_policies`).
      methods: for a class, the methods to transform; `__call__` if None.

    Returns:
      A module class, or a function of a module.

    Raises:
      NotImplementedError: ``concrete`` is true.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> model = nn.remat(nn.Dense)(2)
      >>> model.init(jax.random.key(0), jnp.ones((1, 3)))["params"]["kernel"].shape
      (3, 2)
    """
    options = {
        "variables": variables,
        "rngs": rngs,
        "concrete": concrete,
        "static_argnums": jax.tree.map(lambda number: number - 1, static_argnums),
        "prevent_cse": prevent_cse,
        "policy": policy,
    }
    return rematerialize(target, methods, options)  # type: ignore[no-any-return]


remat = checkpoint


def rematerialize(
    target: Callable[..., Any],
    methods: Methods | None,
    options: dict[str, Any],
    *,
    skips_absent: bool = False,
) -> Any:
    """Apply `lift_checkpoint` to a module class or a function of a module.

    Args:
      target: as for `checkpoint`.
      methods: as for `checkpoint`.
      options: keyword arguments of `lift_checkpoint`.
      skips_absent: whether to ignore a static argument number that exceeds the arguments of a method.
    """
    transformed = functools.partial(_rematerialized, skips_absent=skips_absent)
    return make_lifted(lift_checkpoint, transformed, target, methods, (), options)


def _rematerialized(
    fn: Callable[..., Any],
    _: object,
    options: dict[str, Any],
    cls: type[Module] | None = None,
    *,
    skips_absent: bool = False,
) -> Callable[..., Any]:
    """Return the method of a module that calls `fn` under `lift_checkpoint`."""
    static = StaticArguments("remat", fn, options.get("static_argnums", ()))

    @functools.wraps(fn)
    def wrapped(self: Module, *args: object, **kwargs: object) -> Any:
        present = static.present(args) if skips_absent else static.positions(self, args)
        call_options = {**options, "static_argnums": present, "static_argnames": static.names}

        def lift(core_fn: Callable[..., Any]) -> Callable[..., Any]:
            return lift_checkpoint(core_fn, **call_options)

        with static.named_errors(self, args, kwargs):
            return lift_call(lift, [fn], self, args, kwargs, cls)

    return wrapped


def lift_checkpoint(
    fn: Callable[..., Any],
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    static_argnames: Collection[str] = (),
) -> Callable[..., Any]:
    """Lift `jax.checkpoint` to functions of scopes; see `checkpoint`.

    Unlike `jax.checkpoint` it accepts static arguments by keyword.
    """
    if concrete:
        msg = "nn.remat: JAX has removed `concrete`. Name arguments that are not arrays in `static_argnums`."
        raise NotImplementedError(msg)

    @lifts_scopes((variables,), (variables,), (rngs,), "remat", takes_kwargs=True)
    def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
        static = {name: value for name, value in kwargs.items() if name in static_argnames}
        traced = {name: value for name, value in kwargs.items() if name not in static}

        def rematted(
            variable_groups: Groups, rng_groups: Groups, /, *args: object, **kwargs: object
        ) -> Any:
            return lifted.call(fn, variable_groups, rng_groups, *args, **kwargs, **static)

        # The name appears in the jaxpr and in profiles.
        rematted.__name__ = rematted.__qualname__ = getattr(fn, "__name__", "rematted")
        call = jax.checkpoint(
            rematted,
            static_argnums=jax.tree.map(lambda number: number + 2, static_argnums),
            prevent_cse=prevent_cse,
            policy=policy,
        )
        return call(lifted.variable_groups, lifted.rng_groups, *args, **traced)

    return run


# the returned class is named after it: CheckpointDense
lift_checkpoint.__name__ = "checkpoint"


def remat_scan(
    target: Target,
    lengths: Sequence[int] | None = (),
    policy: Callable[..., bool] | None = None,
    variable_broadcast: CollectionFilter = False,
    variable_carry: CollectionFilter = False,
    variable_axes: Mapping[CollectionFilter, Any] = _ALL_AXES,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = _ALL_SPLIT,
) -> Target:
    """Apply a module many times in nested `scan` loops with rematerialisation.

    The body of every loop except the innermost is rematerialised. With lengths (a, b), the memory for the backward pass
    grows with a + b instead of a * b. The module maps one argument to a value of the same shape.

    Args:
      target: a module class, or a function whose first argument is a module.
      lengths: number of steps of each loop, outermost first.
      policy: as for `remat`.
      variable_broadcast: as for `scan`.
      variable_carry: as for `scan`.
      variable_axes: as for `scan`.
      split_rngs: as for `scan`.

    Returns:
      A module class, or a function of a module.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> model = nn.remat_scan(nn.Dense, lengths=(2, 5))(3)
      >>> model.init(jax.random.key(0), jnp.ones((1, 3)))["params"]["kernel"].shape
      (2, 5, 3, 3)
    """
    return lift_transform(  # type: ignore[no-any-return]
        lift_remat_scan,
        target,
        lengths=lengths,
        policy=policy,
        variable_broadcast=variable_broadcast,
        variable_carry=variable_carry,
        variable_axes=variable_axes,
        split_rngs=split_rngs,
    )


def lift_remat_scan(
    fn: Callable[..., Any],
    lengths: Sequence[int],
    policy: Callable[..., bool] | None = None,
    variable_broadcast: CollectionFilter = False,
    variable_carry: CollectionFilter = False,
    variable_axes: Mapping[CollectionFilter, Any] = _ALL_AXES,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = _ALL_SPLIT,
) -> Callable[..., Any]:
    """Lift nested loops to functions of scopes; see `remat_scan`."""
    options: dict[str, Any] = {
        "variable_broadcast": variable_broadcast,
        "variable_carry": variable_carry,
        "variable_axes": variable_axes,
        "split_rngs": split_rngs,
    }
    step = fn
    if len(lengths) > 1:
        inner = lift_remat_scan(fn, lengths[1:], policy, **options)
        step = lift_checkpoint(inner, policy=policy, prevent_cse=False)
    loop = lift_scan(lambda scopes, carry: (step(scopes, carry), ()), length=lengths[0], **options)
    return lambda scopes, carry: loop(scopes, carry)[0]


lift_remat_scan.__name__ = "remat_scan"
