"""The JAX transform that is running, with the names of ``flax.core.tracers``."""

from __future__ import annotations

from typing import Any

from linen_core._jax_compat import opaque_trace_state

__all__ = ["check_trace_level", "current_trace"]


def current_trace() -> Any:
    """Return a value that identifies the running JAX transform, for comparison with ``==``.

    Example:
      >>> import jax
      >>> outside = current_trace()
      >>> jax.eval_shape(lambda: print(current_trace() == outside))
      False
      >>> current_trace() == outside
      True
    """
    return opaque_trace_state()


def check_trace_level(base_level: object) -> None:
    """Do nothing, as in flax since 2021. Scopes check for leaked transforms themselves.

    Example:
      >>> check_trace_level(current_trace())
    """
