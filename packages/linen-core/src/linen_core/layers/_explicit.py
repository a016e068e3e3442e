"""Shardings on meshes with explicit axes, where an operation does not follow the sharding of its operands."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import PartitionSpec

from linen_core.typing import PyTree

__all__ = ["explicit_axes", "like_batch"]


def explicit_axes(array: Any) -> tuple[Any, ...]:
    """Return the explicit mesh axes that each axis of an array is split over; empty if there are none.

    >>> import jax.numpy as jnp
    >>> explicit_axes(jnp.ones((2, 3)))
    ()
    """
    if jax.sharding.get_abstract_mesh().empty:
        return ()
    found = tuple(jax.typeof(array).sharding.spec)
    return found if any(axes is not None for axes in found) else ()


def like_batch(values: PyTree, axes: tuple[Any, ...]) -> PyTree:
    """Split the first axes of new arrays over mesh axes, as those of the input are.

    >>> import jax.numpy as jnp
    >>> like_batch(jnp.ones(2), ()).tolist()
    [1.0, 1.0]
    """
    if not any(one is not None for one in axes):
        return values
    return jax.tree.map(
        lambda value: (
            jax.sharding.reshard(value, PartitionSpec(*axes)) if value.ndim >= len(axes) else value
        ),
        values,
    )
