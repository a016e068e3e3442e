"""`cond`, `switch` and `while_loop` over modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import jax
from jax.typing import ArrayLike

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.module.base import Module
from linen_core.transforms._loop_carry import CarryCheck
from linen_core.transforms._modules import lift_direct
from linen_core.transforms._packing import EMPTY, Group, Lifted, lifts_scopes, unzip
from linen_core.transforms.axes import split_keys
from linen_core.typing import Array, PyTree

__all__ = ["cond", "switch", "while_loop"]

_C = TypeVar("_C")
_M = TypeVar("_M", bound=Module)


def cond(
    pred: ArrayLike,
    true_fun: Callable[..., _C],
    false_fun: Callable[..., _C],
    mdl: Module,
    *operands: PyTree,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
) -> _C:
    """Lift `jax.lax.cond`: call one of two functions of a module.

    Both must create the same variables. If they use different submodules, call all of these outside in `init`.

    Args:
      pred: a boolean scalar.
      true_fun: a function of the module and the operands.
      false_fun: the same, returning the same structure, shapes and dtypes.
      mdl: the module.
      *operands: arguments of the functions.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.

    Returns:
      The result of the selected function.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x, negate):
      ...         return nn.cond(negate, lambda module, x: -module(x), lambda module, x: module(x), nn.Dense(1), x)
      >>> Model().init_with_output(jax.random.key(0), jnp.ones((1, 2)), True)[0].shape
      (1, 1)
    """
    return switch_between(  # type: ignore[no-any-return]
        lambda branches, *operands: jax.lax.cond(pred, *branches, *operands),
        (true_fun, false_fun),
        mdl,
        operands,
        "cond",
        variables,
        rngs,
    )


def switch(
    index: ArrayLike,
    branches: Sequence[Callable[..., _C]],
    mdl: Module,
    *operands: PyTree,
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
) -> _C:
    """Lift `jax.lax.switch`: call one of several functions of a module.

    All must create the same variables. If they use different submodules, call all of these outside in `init`.

    Args:
      index: an integer scalar; clamped to the number of branches.
      branches: functions of the module and the operands, returning the same structure, shapes and dtypes.
      mdl: the module.
      *operands: arguments of the functions.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.

    Returns:
      The result of the selected function.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     def setup(self):
      ...         self.heads = [nn.Dense(2), nn.Dense(2)]
      ...     def __call__(self, x, index):
      ...         if self.is_initializing():
      ...             for head in self.heads:
      ...                 head(x)
      ...         branches = [lambda model, x, i=i: model.heads[i](x) for i in range(2)]
      ...         return nn.switch(index, branches, self, x)
      >>> variables = Model().init(jax.random.key(0), jnp.ones(3), 0)
      >>> sorted(variables["params"]), Model().apply(variables, jnp.ones(3), 1).shape
      (['heads_0', 'heads_1'], (2,))
    """
    return switch_between(  # type: ignore[no-any-return]
        lambda branches, *operands: jax.lax.switch(index, branches, *operands),
        tuple(branches),
        mdl,
        operands,
        "switch",
        variables,
        rngs,
    )


def switch_between(
    choose: Callable[..., Any],
    branches: Sequence[Callable[..., Any]],
    mdl: Module,
    operands: tuple[PyTree, ...],
    name: str,
    variables: CollectionFilter,
    rngs: PRNGSequenceFilter,
) -> Any:
    """Call one of several functions of a module; ``choose(pure_functions, *operands)`` selects and calls it."""

    def transform(*core_fns: Callable[..., Any]) -> Callable[..., Any]:
        @lifts_scopes((variables,), (variables,), (rngs,), name)
        def run(lifted: Lifted, *operands: PyTree) -> Any:
            groups = (lifted.variable_groups, lifted.rng_groups)
            branches = [functools.partial(lifted.call, core_fn, *groups) for core_fn in core_fns]
            return choose(branches, *operands)

        return run

    return lift_direct(transform, branches, mdl, operands)


def while_loop(
    cond_fn: Callable[[_M, _C], Any],
    body_fn: Callable[[_M, _C], _C],
    mdl: _M,
    init: _C,
    carry_variables: CollectionFilter = False,
    broadcast_variables: CollectionFilter = True,
    split_rngs: Mapping[PRNGSequenceFilter, bool] = EMPTY,
) -> _C:
    """Lift `jax.lax.while_loop`: call a function of a module as long as a condition on the module holds.

    Variables cannot be created inside. Create them outside in `init`.

    Args:
      cond_fn: a function of the module and the carried value that returns a boolean scalar; it writes no variables.
      body_fn: a function of the module and the carried value that returns the next.
      mdl: the module.
      init: the first carried value.
      carry_variables: collections whose variables are passed from step to step.
      broadcast_variables: collections whose variables are the same in all steps.
      split_rngs: for each RNG stream, whether every step gets a different key.

    Returns:
      The last carried value.

    Example:
      >>> import jax.numpy as jnp, linen_core as nn
      >>> class Doubles(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         def body(model, x):
      ...             model.put_variable("state", "steps", 1 + model.get_variable("state", "steps"))
      ...             return 2 * x
      ...         return nn.while_loop(lambda model, x: x < 100, body, self, x, carry_variables="state")
      >>> Doubles().apply({"state": {"steps": 0}}, 3.0, mutable=["state"])
      (Array(192., dtype=float32, weak_type=True), {'state': {'steps': Array(6, dtype=int32, weak_type=True)}})
    """
    rng_filters, splits = unzip(split_rngs.items())

    def transform(cond_core: Callable[..., Any], body_core: Callable[..., Any]) -> Any:
        @lifts_scopes(
            (carry_variables, broadcast_variables), (carry_variables,), rng_filters, "while_loop"
        )
        def run(lifted: Lifted, init: PyTree) -> Any:
            carried, fixed = lifted.variable_groups
            fixed, carried = lifted.share_immutable(fixed, carried)
            check = CarryCheck("while_loop", lifted.where)

            def streams(number: Array) -> Any:
                return split_keys(
                    lifted.rng_groups, splits, lambda key: jax.random.fold_in(key, number)
                )

            def condition(loop: tuple[Array, Group, PyTree]) -> Any:
                step, carried, value = loop
                # Negative numbers: the condition must not draw the keys of the body.
                opened = lifted.open((carried, fixed), streams(-step), mutable=False)
                return cond_core(opened, value)

            def body(loop: tuple[Array, Group, PyTree]) -> Any:
                step, carried, value = loop
                value, (written,) = lifted.call(body_core, (carried, fixed), streams(step), value)
                check.record(carried, written)
                return step + 1, written, value

            with check.named_errors():
                _, carried, value = jax.lax.while_loop(condition, body, (0, carried, init))
            return value, (carried,)

        return run

    return lift_direct(transform, (cond_fn, body_fn), mdl, (init,))  # type: ignore[no-any-return]
