"""Transforms of functions whose first argument is a `Scope`, or a tree of scopes, with the names of ``flax.core.lift``.

Modules have the same transforms: `linen_core.vmap`, `linen_core.scan` and so on. There the first argument is called
``mdl``. `jit` is missing: a compiled function is found again by its module, so use `linen_core.jit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linen_core.filters import CollectionFilter, PRNGSequenceFilter
from linen_core.transforms import (
    cond as cond,
)
from linen_core.transforms import (
    custom_vjp as custom_vjp,
)
from linen_core.transforms import (
    jvp as jvp,
)
from linen_core.transforms import (
    switch as switch,
)
from linen_core.transforms import (
    value_and_grad as value_and_grad,
)
from linen_core.transforms import (
    vjp as vjp,
)
from linen_core.transforms import (
    while_loop as while_loop,
)
from linen_core.transforms.loop import lift_scan as scan
from linen_core.transforms.mapping import lift_map_variables
from linen_core.transforms.rematerialize import lift_checkpoint as checkpoint
from linen_core.transforms.rematerialize import lift_remat_scan as remat_scan
from linen_core.transforms.vectorize import lift_vmap as vmap
from linen_core.typing import In as In
from linen_core.typing import Out as Out
from linen_core.typing import PyTree

__all__ = [
    "In",
    "Out",
    "checkpoint",
    "cond",
    "custom_vjp",
    "jvp",
    "map_variables",
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
