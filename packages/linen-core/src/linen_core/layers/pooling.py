"""Pooling: reductions over windows of arrays with the layout (batch..., space..., features)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from linen_core.errors import LayerRankError, LayerShapeError
from linen_core.layers._common import check_padding_word
from linen_core.layers._staging import staged
from linen_core.typing import Array

__all__ = ["avg_pool", "max_pool", "min_pool", "pool"]


def pool(
    inputs: Array,
    init: ArrayLike,
    reduce_fn: Callable[..., Any],
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
) -> Array:
    """Reduce each window of an array to one element, as `jax.lax.reduce_window` does.

    Args:
      inputs: an array of shape (batch..., space..., features), with zero or more batch axes.
      init: initial value of the reduction.
      reduce_fn: a function of two elements.
      window_shape: size of the window along each spatial axis.
      strides: step between two windows; by default 1.
      padding: "SAME", "VALID" or a pair (low, high) for each spatial axis.

    Returns:
      An array of shape (batch..., space..., features).

    Raises:
      LayerRankError: the array has too few axes.
      LayerShapeError: window, strides and padding have different numbers of axes.

    >>> import jax.numpy as jnp
    >>> print(pool(jnp.arange(4.0)[:, None], 0.0, lax.add, (2,), (2,), "VALID")[:, 0])
    [1. 5.]
    """
    rank = len(window_shape)
    lead = inputs.ndim - (rank + 1)
    strides = strides or (1,) * rank
    _check(inputs, window_shape, strides, padding)
    outer = max(lead, 1)
    dims, steps = ((1,) * outer + tuple(sizes) + (1,) for sizes in (window_shape, strides))
    pads: Any = padding
    if not isinstance(padding, str):
        pads = ((0, 0),) * outer + tuple(map(tuple, padding)) + ((0, 0),)
    if lead == 0:
        return jnp.squeeze(
            lax.reduce_window(inputs[None], init, reduce_fn, dims, steps, pads), axis=0
        )
    return lax.reduce_window(inputs, init, reduce_fn, dims, steps, pads)


def _check(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> None:
    name, rank = "pooling", len(window_shape)
    if inputs.ndim < rank + 1:
        raise LayerRankError(
            name,
            "inputs",
            f"an array of shape {inputs.shape}",
            f"one of shape (batch..., space..., features) with {rank} spatial axes",
        )
    if len(strides) != rank:
        raise LayerShapeError(name, "strides", strides, f"{rank} numbers, as the window")
    check_padding_word(name, padding)
    if not isinstance(padding, str) and [len(pair) for pair in padding] != [2] * rank:
        raise LayerShapeError(name, "padding", padding, f"{rank} pairs, as the window")


def _static(
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str | Sequence[tuple[int, int]],
) -> tuple[Any, Any, Any]:
    """Convert window shape, strides and padding to hashable tuples."""
    pads = padding if isinstance(padding, str) else tuple(map(tuple, padding))
    return tuple(window_shape), tuple(strides) if strides else None, pads


@staged("windows", "count_include_pad")
def _mean(inputs: Array, windows: tuple[Any, Any, Any], count_include_pad: bool) -> Array:
    total = pool(inputs, 0.0, lax.add, *windows)
    if count_include_pad:
        return total / np.prod(windows[0])
    shape = (*inputs.shape[:-1], 1)
    if len(shape) == len(windows[0]) + 2:
        shape = (1, *shape[1:])
    return total / pool(jnp.ones(shape), 0.0, lax.add, *windows)


@staged("windows")
def _largest(inputs: Array, windows: tuple[Any, Any, Any]) -> Array:
    return pool(inputs, -jnp.inf, lax.max, *windows)


@staged("windows")
def _smallest(inputs: Array, windows: tuple[Any, Any, Any]) -> Array:
    return pool(inputs, jnp.inf, lax.min, *windows)


def avg_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    count_include_pad: bool = True,
) -> Array:
    """Average over each window.

    Args:
      inputs: an array of shape (batch..., space..., features), floating-point.
      window_shape: size of the window along each spatial axis.
      strides: step between two windows; by default 1.
      padding: "SAME", "VALID" or a pair (low, high) for each spatial axis.
      count_include_pad: divide by the size of the window; otherwise by the number of elements of the array
        in the window.

    Returns:
      An array of shape (batch..., space..., features).

    Raises:
      LayerRankError: the array has too few axes.
      LayerShapeError: window, strides and padding have different numbers of axes.

    >>> import jax.numpy as jnp
    >>> print(avg_pool(jnp.arange(4.0)[:, None], (2,), strides=(2,))[:, 0])
    [0.5 2.5]
    """
    return _mean(inputs, _static(window_shape, strides, padding), count_include_pad)


def max_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> Array:
    """Take the largest element of each window.

    Args:
      inputs: an array of shape (batch..., space..., features), floating-point.
      window_shape: size of the window along each spatial axis.
      strides: step between two windows; by default 1.
      padding: "SAME", "VALID" or a pair (low, high) for each spatial axis.

    Returns:
      An array of shape (batch..., space..., features).

    Raises:
      LayerRankError: the array has too few axes.
      LayerShapeError: window, strides and padding have different numbers of axes.

    >>> import jax.numpy as jnp
    >>> print(max_pool(jnp.arange(4.0)[:, None], (2,), strides=(2,))[:, 0])
    [1. 3.]
    """
    return _largest(inputs, _static(window_shape, strides, padding))


def min_pool(
    inputs: Array,
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> Array:
    """Take the smallest element of each window.

    Args:
      inputs: an array of shape (batch..., space..., features), floating-point.
      window_shape: size of the window along each spatial axis.
      strides: step between two windows; by default 1.
      padding: "SAME", "VALID" or a pair (low, high) for each spatial axis.

    Returns:
      An array of shape (batch..., space..., features).

    Raises:
      LayerRankError: the array has too few axes.
      LayerShapeError: window, strides and padding have different numbers of axes.

    >>> import jax.numpy as jnp
    >>> print(min_pool(jnp.arange(4.0)[:, None], (2,), strides=(2,))[:, 0])
    [0. 2.]
    """
    return _smallest(inputs, _static(window_shape, strides, padding))
