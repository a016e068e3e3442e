"""The only file that uses private parts of JAX."""

from __future__ import annotations

from typing import Any

from jax._src.distributed import global_state

__all__ = ["coordination_client"]


def coordination_client() -> Any:
    """Return this process's client of the coordination service that `jax.distributed.initialize` starts, or None."""
    return global_state.client
