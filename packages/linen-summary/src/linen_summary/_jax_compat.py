"""Everything of JAX's inner parts that this package uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.extend.core import jaxpr_as_fun
from jax.interpreters import partial_eval

__all__ = ["as_function", "live_part"]


def live_part(jaxpr: Any) -> Any:
    """Return a jaxpr without the equations that nothing of its results depends on, as lowering does."""
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)[0]


def as_function(program: Any) -> Callable[..., Any]:
    """Return a function that runs a closed jaxpr."""
    return jaxpr_as_fun(program)  # type: ignore[no-any-return]
