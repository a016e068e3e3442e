"""Normalization layers as functions of a scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from linen_core.layers import initializers
from linen_core.scope import Scope
from linen_core.scope_layers.linear import default_bias_init
from linen_core.typing import Array, Axes, Dtype, Initializer

__all__ = ["batch_norm", "group_norm", "layer_norm"]

_unit_scale = initializers.ones_init()


def batch_norm(
    scope: Scope,
    x: Array,
    use_running_average: bool = False,
    axis: Axes = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-5,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = default_bias_init,
    scale_init: Initializer = _unit_scale,
    axis_name: str | None = None,
    axis_index_groups: Sequence[Sequence[int]] | None = None,
    kind: str = "batch_stats",
) -> Array:
    """Normalize each feature over the batch, and keep running averages; see `linen_core.BatchNorm`.

    Args:
      scope: holds the parameters ``scale`` and ``bias``, and the averages ``mean`` and ``var``.
      x: an array of shape (batch, ..., features).
      use_running_average: whether to use the averages in place of the statistics of the batch.
      axis: the axes of the features.
      momentum: weight of the old average.
      epsilon: added to the variance.
      dtype: dtype of the result. Statistics are float32.
      bias: whether to add a bias.
      scale: whether to multiply with a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      axis_name: a mapped axis to average the statistics over.
      axis_index_groups: groups of indices of that axis; see `jax.lax.pmean`.
      kind: the collection of the averages.

    Returns:
      An array of the shape of ``x``.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> y, variables = init(batch_norm)(jax.random.key(0), jnp.ones((4, 3)))
      >>> y.shape, sorted(variables)
      ((4, 3), ['batch_stats', 'params'])
    """
    x = jnp.asarray(x, jnp.float32)
    features = {number % x.ndim for number in (axis if isinstance(axis, tuple) else (axis,))}
    others = tuple(number for number in range(x.ndim) if number not in features)

    def average(values: Array) -> Array:
        values = jnp.mean(values, others, keepdims=True)
        if axis_name is None:
            return values
        return lax.pmean(values, axis_name=axis_name, axis_index_groups=axis_index_groups)

    mean = average(x)
    var = average(jnp.square(x)) - jnp.square(mean)
    inner, outer = jnp.squeeze(mean).shape, mean.shape
    exists = scope.has_variable(kind, "mean")
    averages = (
        scope.variable(kind, "mean", jnp.zeros, inner),
        scope.variable(kind, "var", jnp.ones, inner),
    )
    if use_running_average:
        mean, var = (jnp.reshape(variable.value, outer) for variable in averages)
    elif exists:
        for variable, found in zip(averages, (mean, var), strict=True):
            variable.value += (1.0 - momentum) * (jnp.squeeze(found) - variable.value)
    factor = lax.rsqrt(var + epsilon)
    if scale:
        factor *= scope.param("scale", scale_init, inner).reshape(outer)
    y = (x - mean) * factor
    if bias:
        y += scope.param("bias", bias_init, inner).reshape(outer)
    return jnp.asarray(y, dtype)


def layer_norm(
    scope: Scope,
    x: Array,
    epsilon: float = 1e-6,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = default_bias_init,
    scale_init: Initializer = _unit_scale,
) -> Array:
    """Normalize each example over its features; see `linen_core.LayerNorm`.

    Args:
      scope: holds the parameters ``scale`` and ``bias`` of shape (features,).
      x: an array of shape (..., features).
      epsilon: added to the variance.
      dtype: dtype of the parameters in the computation.
      bias: whether to add a bias.
      scale: whether to multiply with a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.

    Returns:
      An array of the shape of ``x``.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> init(layer_norm)(jax.random.key(0), jnp.array([[1.0, 3.0]]))[0].tolist()
      [[-1.0, 1.0]]
    """
    shape = x.shape[-1:]
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.mean(lax.square(x), axis=-1, keepdims=True) - lax.square(mean)
    factor = lax.rsqrt(var + epsilon)
    if scale:
        factor *= jnp.asarray(scope.param("scale", scale_init, shape), dtype)
    y = (x - mean) * factor
    return y + jnp.asarray(scope.param("bias", bias_init, shape), dtype) if bias else y


def group_norm(
    scope: Scope,
    x: Array,
    num_groups: int | None = 32,
    group_size: int | None = None,
    epsilon: float = 1e-6,
    dtype: Dtype = jnp.float32,
    bias: bool = True,
    scale: bool = True,
    bias_init: Initializer = default_bias_init,
    scale_init: Initializer = _unit_scale,
) -> Array:
    """Normalize each example over groups of its features; see `linen_core.GroupNorm`.

    Args:
      scope: holds the parameters ``scale`` and ``bias`` of shape (1, ..., 1, features).
      x: an array of shape (batch, ..., features).
      num_groups: the number of groups; None if ``group_size`` is given.
      group_size: the number of features in a group; None if ``num_groups`` is given.
      epsilon: added to the variance.
      dtype: dtype of the result. Statistics are float32.
      bias: whether to add a bias.
      scale: whether to multiply with a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.

    Returns:
      An array of the shape of ``x``.

    Raises:
      ValueError: both or neither of ``num_groups`` and ``group_size`` are given, or the size does not divide the
        number of features.

    Example:
      >>> import jax
      >>> from linen_core.scope import init
      >>> y, variables = init(group_norm)(jax.random.key(0), jnp.ones((2, 5, 8)), num_groups=4)
      >>> y.shape, variables["params"]["scale"].shape
      ((2, 5, 8), (1, 1, 8))
    """
    x = jnp.asarray(x, jnp.float32)
    groups = _number_of_groups(x.shape[-1], num_groups, group_size)
    grouped = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    within = (*range(1, grouped.ndim - 2), grouped.ndim - 1)
    mean = jnp.mean(grouped, axis=within, keepdims=True)
    var = jnp.mean(jnp.square(grouped), axis=within, keepdims=True) - jnp.square(mean)
    y = ((grouped - mean) * lax.rsqrt(var + epsilon)).reshape(x.shape)
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    if scale:
        y *= scope.param("scale", scale_init, shape)
    if bias:
        y += scope.param("bias", bias_init, shape)
    return y.astype(dtype)


def _number_of_groups(features: int, num_groups: Any, group_size: Any) -> int:
    if (num_groups is None) == (group_size is None):
        msg = (
            f"Cannot group the features: found num_groups={num_groups} and group_size={group_size}. "
            "Give one of them, and None for the other."
        )
        raise ValueError(msg)
    if group_size is None:
        return int(num_groups)
    if features % group_size:
        msg = f"Cannot group {features} features by group_size={group_size}. Choose a divisor of {features}."
        raise ValueError(msg)
    return int(features // group_size)
