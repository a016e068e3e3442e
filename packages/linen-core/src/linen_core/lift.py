"""Transforms of functions whose first argument is a `Scope`, or a tree of scopes, with the names of ``flax.core.lift``.

Modules have the same transforms: `linen_core.vmap`, `linen_core.scan` and so on. There the first argument is called
``mdl``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.transforms import cond, custom_vjp, jvp, switch, value_and_grad, vjp, while_loop
from linen_core.transforms._packing import Lifted, lifts_scopes
from linen_core.transforms.compile import lift_jit_scopes
from linen_core.transforms.loop import lift_scan as scan
from linen_core.transforms.mapping import lift_map_variables
from linen_core.transforms.rematerialize import lift_checkpoint as checkpoint
from linen_core.transforms.rematerialize import lift_remat_scan as remat_scan
from linen_core.transforms.vectorize import lift_vmap as vmap
from linen_core.typing import In, Out, PyTree

__all__ = [
    "In",
    "Out",
    "checkpoint",
    "cond",
    "custom_vjp",
    "jit",
    "jvp",
    "map_variables",
    "pack",
    "remat",
    "remat_scan",
    "scan",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

remat = checkpoint


def _unchanged(variables: PyTree) -> Any:
    return variables


def map_variables(
    fn: Callable[..., Any],
    mapped_collections: CollectionFilter,
    map_in_fn: Callable[..., Any] = _unchanged,
    map_out_fn: Callable[..., Any] = _unchanged,
    init: bool = False,
    mutable: bool = False,
    rngs: PRNGSequenceFilter = True,
    variables: CollectionFilter = True,
) -> Callable[..., Any]:
    """Let a function of scopes see transformed variables; see `linen_core.map_variables`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from linen_core.scope import apply
      >>> doubled = map_variables(lambda scope: scope.get_variable("params", "w"), "params",
      ...                         lambda variables: jax.tree.map(lambda w: 2 * w, variables))
      >>> apply(doubled)({"params": {"w": jnp.float32(3)}}).item()
      6.0
    """
    return lift_map_variables(
        fn, mapped_collections, map_in_fn, map_out_fn, init, mutable, rngs, variables
    )


def jit(
    fn: Callable[..., Any],
    variables: CollectionFilter = True,
    rngs: PRNGSequenceFilter = True,
    static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
    donate_argnums: int | Iterable[int] = (),
    device: jax.Device | None = None,
    backend: str | None = None,
) -> Callable[..., Any]:
    """Compile a function of scopes; see `linen_core.jit`, which does the same for modules.

    The function is called with a hashable key after the scopes: ``fn(scopes, hash_key, *args, **kwargs)``. It is traced
    once for equal keys and arguments of equal shapes. A later call with an equal key repeats the random numbers of the
    first one, so pass another key, or draw outside.

    Args:
      fn: the function.
      variables: the collections to bring inside.
      rngs: the RNG streams to bring inside.
      static_argnums: numbers of the arguments that are Python values. The scopes are number 0, and the first argument
        after the key is number 1.
      static_argnames: names of static arguments that are passed by keyword.
      donate_argnums: numbers of the arguments whose memory may be reused for the results.
      device: as for `jax.jit`.
      backend: as for `jax.jit`.

    Example:
      >>> import jax.numpy as jnp
      >>> from linen_core.scope import init
      >>> def scale(scope, hash_key, x):
      ...     return x * scope.param("scale", jax.nn.initializers.ones, ())
      >>> y, variables = init(lambda scope, x: jit(scale)(scope, "scale", x))(jax.random.key(0), jnp.ones(3))
      >>> y.shape, list(variables["params"])
      ((3,), ['scale'])
    """
    return lift_jit_scopes(
        fn,
        variables=variables,
        rngs=rngs,
        static_argnums=static_argnums,
        static_argnames=static_argnames or None,
        donate_argnums=donate_argnums,
        device=device,
        backend=backend,
    )


def pack(
    fn: Callable[..., Any],
    in_variable_filters: Sequence[CollectionFilter],
    out_variable_filters: Sequence[CollectionFilter],
    rng_filters: Sequence[PRNGSequenceFilter],
    name: str | None = None,
    enable_kwargs: bool = False,
) -> Callable[..., Any]:
    """Build a transform of functions of scopes from a function of groups of variables and RNG streams.

    Args:
      fn: called as ``fn(scope_fn, repack_fn, variable_groups, rng_groups, *args)``. ``scope_fn`` makes scopes from
        groups, inside the JAX transform; ``repack_fn`` returns the groups that such scopes wrote. ``fn`` returns its
        result and these groups.
      in_variable_filters: for each group of variables that enters, its collections.
      out_variable_filters: the same for the groups that leave.
      rng_filters: for each group of RNG streams, its streams.
      name: name of the transform, for error messages.
      enable_kwargs: whether keyword arguments are passed to ``fn``; otherwise they are ignored with a warning.

    Returns:
      A function of scopes and arguments.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from linen_core.scope import apply
      >>> def doubled(scope_fn, repack_fn, variable_groups, rng_groups):
      ...     scope = scope_fn(jax.tree.map(lambda x: 2 * x, variable_groups), rng_groups)
      ...     return scope.get_variable("params", "w"), repack_fn(scope)
      >>> apply(pack(doubled, ["params"], ["params"], []))({"params": {"w": jnp.float32(3)}}).item()
      6.0
    """

    @lifts_scopes(
        in_variable_filters,
        out_variable_filters,
        rng_filters,
        name or "",
        takes_kwargs=enable_kwargs,
    )
    def run(lifted: Lifted, /, *args: object, **kwargs: object) -> Any:
        groups = lifted.variable_groups, lifted.rng_groups
        return fn(lifted.open, lifted.close, *groups, *args, **kwargs)

    return run
