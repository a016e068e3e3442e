"""Masks and the cache of attention over several axes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_core import struct
from linen_core.scope import Scope
from linen_core.typing import Array, Shape

__all__ = [
    "CacheEntry",
    "attention_axes",
    "make_causal_mask",
    "make_padding_mask",
    "update_cache",
]


def attention_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return the axes of attention: by default all between the batch and the heads.

    Raises:
      ValueError: an axis is that of the batch, the heads or the features.
    """
    axes = range(1, ndim - 2) if axis is None else axis
    axes = tuple(axes) if np.iterable(axes) else (axes,)
    if not all(1 <= number < ndim - 2 for number in axes):
        msg = (
            f"Cannot attend over the axes {axes}. Choose axes between the batch (0) and the heads ({ndim - 2}) of an "
            f"array with {ndim} axes."
        )
        raise ValueError(msg)
    return axes


def make_causal_mask(key: Array, axes: tuple[int, ...]) -> Array:
    """Return a mask of shape (1, ..., *sizes, *sizes) that hides the positions after each query."""
    sizes = tuple(key.shape[axis] for axis in axes)
    positions = np.arange(np.prod(sizes))
    mask = jnp.asarray(positions[:, None] >= positions)
    return mask.reshape((1,) * (key.ndim - len(axes) - 1) + sizes + sizes)


def make_padding_mask(
    padding_mask_query: Array,
    padding_mask_key: Array,
    query_shape: Shape,
    key_shape: Shape,
    attention_axis: tuple[int, ...] | None = None,
    segmentation_mask: bool = False,
) -> Array:
    """Combine masks of queries and of keys.

    Args:
      padding_mask_query: an array of shape (batch, positions, 1): which queries are tokens, or their segments.
      padding_mask_key: the same for keys.
      query_shape: the shape of the queries, (batch, positions, heads, features).
      key_shape: the shape of the keys.
      attention_axis: the axes of the positions.
      segmentation_mask: whether the masks hold segments. Queries and keys of equal segments attend to each other.

    Returns:
      A float32 mask of shape (batch, 1, positions of queries, positions of keys).

    Raises:
      ValueError: an axis is that of the batch, the heads or the features.

    Example:
      >>> tokens = jnp.array([[1.0, 1.0, 0.0]])[..., None]
      >>> make_padding_mask(tokens, tokens, (1, 3, 2, 4), (1, 3, 2, 4))[0, 0].tolist()
      [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    axes = attention_axes(attention_axis, len(key_shape))
    queries = tuple(query_shape[axis] for axis in axes)
    keys = tuple(key_shape[axis] for axis in axes)
    query, key = padding_mask_query[..., None], padding_mask_key[..., None]
    key = key.transpose(0, *range(key.ndim - 1, 0, -1))
    mask = jnp.equal(query, key) if segmentation_mask else jnp.multiply(query, key)
    return mask.reshape(query_shape[0], 1, *queries, *keys).astype(jnp.float32)


class CacheEntry(struct.PyTreeNode):
    """Keys and values of the positions so far.

    Attributes:
      key: an array of shape (batch, positions, heads, features).
      value: an array of the same shape.
      i: the number of positions so far, uint32.

    Example:
      >>> CacheEntry(key=jnp.zeros((1, 8, 2, 4)), value=jnp.zeros((1, 8, 2, 4)), i=jnp.uint32(0)).i.item()
      0
    """

    key: Any
    value: Any
    i: Any


def update_cache(
    scope: Scope, inputs: Array, key: Array, value: Array, axes: tuple[int, ...]
) -> CacheEntry | None:
    """Add keys and values of one position to the variable ``entry`` of the collection ``cache``.

    Returns:
      The new entry; None in the first run, which stores the function that creates an entry from its shape.

    Raises:
      ValueError: the stored function was not replaced by its result, or the input has more than one position.
    """
    if not scope.has_variable("cache", "entry"):
        scope.put_variable("cache", "entry", _EntryInit(key.shape))
        return None
    entry = scope.get_variable("cache", "entry")
    if not isinstance(entry, CacheEntry):
        msg = (
            "Cannot decode: the cache holds no arrays yet. Call each function of the collection 'cache' with the "
            "shape (batch, positions)."
        )
        raise ValueError(msg)
    sizes = entry.key.shape
    expected = (*(1 if n in axes else size for n, size in enumerate(sizes[:-2])), inputs.shape[-1])
    if expected != inputs.shape:
        msg = f"Cannot decode: expected one position, shape {expected}; found shape {inputs.shape}."
        raise ValueError(msg)
    start: list[Any] = [0] * len(sizes)
    rest = entry.i.astype(jnp.int32)
    size = int(np.prod([sizes[axis] for axis in axes]))
    for axis in axes:
        size //= sizes[axis]
        start[axis], rest = rest // size, rest % size
    entry = CacheEntry(
        key=lax.dynamic_update_slice(entry.key, key, start),
        value=lax.dynamic_update_slice(entry.value, value, start),
        i=entry.i + jnp.uint32(1),
    )
    scope.put_variable("cache", "entry", entry)
    return entry


class _EntryInit:
    """Creates an empty entry from the shape (batch, positions)."""

    def __init__(self, key_shape: Shape) -> None:
        self._key_shape = tuple(key_shape)

    def __call__(self, shape: Shape, dtype: Any = jnp.float32) -> CacheEntry:
        full = (*shape, *self._key_shape[-2:])
        if len(full) != len(self._key_shape):
            msg = (
                f"Cannot create a cache of shape {shape}: expected the sizes of the batch and the positions, "
                f"{len(self._key_shape) - 2} in all."
            )
            raise ValueError(msg)
        return CacheEntry(key=jnp.zeros(full, dtype), value=jnp.zeros(full, dtype), i=jnp.uint32(0))
