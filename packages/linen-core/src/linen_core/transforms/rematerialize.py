"""`remat` (`checkpoint`) and `remat_scan` over modules."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.module.base import Module
from linen_core.scope.scope import DEFERRED
from linen_core.transforms._drawing import Draw
from linen_core.transforms._modules import Target, lift_call, lift_transform, make_lifted
from linen_core.transforms._packing import Lifted, lifts_scopes
from linen_core.transforms._sharing import PlacedTrace, facts_of_run
from linen_core.transforms.loop import lift_scan

__all__ = ["checkpoint", "remat", "remat_scan", "rematerialize"]

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
    methods: Any = None,
) -> Target:
    """Lift `jax.checkpoint`: compute intermediate values anew in the backward pass instead of keeping them.

    Args:
      target: a module class, or a function whose first argument is a module.
      variables: which collections are there inside.
      rngs: which RNG streams are there inside.
      concrete: must be False.
      prevent_cse: whether XLA is kept from undoing it; can be False inside of `scan`.
      static_argnums: numbers of arguments that are no arrays, the module being number 0.
      policy: which values are kept all the same (`jax.checkpoint_policies`).
      methods: for a class the methods to transform; `__call__` if None.

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
    target: Any, methods: Any, options: dict[str, Any], *, skips_absent: bool = False
) -> Any:
    """Apply `lift_checkpoint` to a module class or a function of a module.

    Args:
      target: as for `checkpoint`.
      methods: as for `checkpoint`.
      options: for `lift_checkpoint`.
      skips_absent: whether numbers of static arguments that a call leaves out are passed over.
    """
    transformed = functools.partial(_rematerialized, skips_absent=skips_absent)
    return make_lifted(lift_checkpoint, transformed, target, methods, (), options)


def _rematerialized(
    fn: Callable[..., Any],
    _: Any,
    options: dict[str, Any],
    cls: Any = None,
    *,
    skips_absent: bool = False,
) -> Callable[..., Any]:
    """Give the method of a module that calls `fn` under `lift_checkpoint`, for equal modules traced once a run."""
    owner = object()

    @functools.wraps(fn)
    def wrapped(self: Module, *call_args: Any, **call_kwargs: Any) -> Any:
        facts = None if cls is None else facts_of_run(self, call_args, call_kwargs)
        key = None if facts is None else (owner, facts, len(call_args))
        chosen = options
        if skips_absent:
            numbers = jax.tree.leaves(options["static_argnums"])
            present = tuple(number for number in numbers if number < len(call_args))
            chosen = {**options, "static_argnums": present}

        def lift(core_fn: Callable[..., Any]) -> Callable[..., Any]:
            return lift_checkpoint(core_fn, **chosen, module=self, key=key)

        return lift_call(lift, [fn], self, call_args, call_kwargs, cls, named=True)

    return wrapped


def lift_checkpoint(
    fn: Callable[..., Any],
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    concrete: bool = False,
    prevent_cse: bool = True,
    static_argnums: int | tuple[int, ...] = (),
    policy: Callable[..., bool] | None = None,
    module: Module | None = None,
    key: Any = None,
) -> Callable[..., Any]:
    """Lift `jax.checkpoint` to functions of scopes; see `checkpoint`.

    With a key, ``fn`` calls a method of the module, and one trace serves all calls of a run with equal keys.
    """
    if concrete:
        msg = "nn.remat: `concrete` is gone from JAX. Name arguments that are no arrays in `static_argnums`."
        raise NotImplementedError(msg)
    options = {
        "static_argnums": jax.tree.map(lambda number: number + 2, static_argnums),
        "prevent_cse": prevent_cse,
        "policy": policy,
    }

    @lifts_scopes((variables,), (variables,), (rngs,), "remat", takes_kwargs=True)
    def run(lifted: Lifted, /, *args: Any, **kwargs: Any) -> Any:
        if DEFERRED in lifted.scopes[0].flags:  # nothing is run, and nothing differentiated
            scopes = lifted.open(lifted.variable_groups, lifted.rng_groups)
            return fn(scopes, *args, **kwargs), lifted.close(scopes)
        traces = lifted.scopes[0].root.traces if key is not None else {}
        plan = traces.get(key) or _Plan(_Rematted(fn, **options))
        trace = PlacedTrace(fn, lifted, module, plan.draws)
        result, groups, effects = plan.call(
            trace, lifted.variable_groups, trace.keys(), *args, **kwargs
        )
        trace.settle(effects)
        if trace.place_was_read:
            traces[key] = None
        elif key not in traces:
            call = _Rematted(fn, **options) if trace.draws else plan.call
            traces[key] = _Plan(call, trace.draws)
        return result, groups

    return run


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How the next call equal to one that was traced is to be made."""

    call: _Rematted
    draws: tuple[Draw, ...] | None = None
    """The keys to draw beforehand; None where this is not known yet."""


class _Rematted:
    """A function for `jax.checkpoint`, which remembers traces by function: it runs what it is called with.

    Args:
      fn: what it is named after.
      **options: for `jax.checkpoint`.
    """

    def __init__(self, fn: Callable[..., Any], **options: Any) -> None:
        self._running: list[PlacedTrace] = []
        running = self._running

        def rematted(variable_groups: Any, keys: Any, /, *args: Any, **kwargs: Any) -> Any:
            return running[-1].run(variable_groups, keys, *args, **kwargs)

        rematted.__name__ = rematted.__qualname__ = getattr(fn, "__name__", "rematted")
        self._call = jax.checkpoint(rematted, **options)

    def __call__(self, trace: PlacedTrace, /, *args: Any, **kwargs: Any) -> Any:
        self._running.append(trace)
        try:
            return self._call(*args, **kwargs)
        finally:
            self._running.pop()  # JAX keeps the function; module and scopes must not live as long


# the class that a transform makes is named after it: CheckpointDense, Remat_scanBlock
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
    """Apply a module many times in nested loops of `scan`, of which all but the innermost are rematerialised.

    With lengths (a, b) the memory for the backward pass grows with a + b instead of a * b. The module maps one
    argument to a value of the same shape.

    Args:
      target: a module class, or a function whose first argument is a module.
      lengths: of the loops, outermost first.
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
