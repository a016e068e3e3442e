"""The only file that uses private parts of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax._src import mesh as mesh_lib
from jax._src.distributed import global_state

__all__ = ["coordination_client", "get_mesh"]

get_mesh: Callable[[], Any] = getattr(jax.sharding, "get_mesh", mesh_lib.get_concrete_mesh)
"""Function that returns the mesh of the surrounding `jax.set_mesh`, or an empty one. JAX 0.8.1 made it public."""


def coordination_client() -> Any:
    """Return this process's client of the coordination service that `jax.distributed.initialize` starts, or None."""
    return global_state.client
