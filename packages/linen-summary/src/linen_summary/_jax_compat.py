"""Everything of JAX's inner parts that this package uses."""

from __future__ import annotations

from typing import Any

from jax.interpreters import partial_eval

__all__ = ["live_part"]


def live_part(jaxpr: Any) -> Any:
    """Return a jaxpr without the equations that nothing of its results depends on, as lowering does."""
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)[0]
