"""Mean, variance, and what a normalization does with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_core.errors import MaskShapeError, UnboundAxisError
from linen_core.layers._staging import staged
from linen_core.layers._where import where
from linen_core.layers.dtypes import canonicalize_dtype
from linen_core.module import Module
from linen_core.typing import Array, Axes, AxisName, Dtype

__all__ = [
    "Plan",
    "abs_square",
    "check_axis_name",
    "check_mask",
    "compute_stats",
    "feature_shape",
    "hashable_groups",
    "normalize",
    "normalize_by_own_stats",
    "scale_and_bias",
]


class Plan(NamedTuple):
    """Everything about a normalization that is no array.

    Attributes:
      reduction_axes: axes of the input that mean and variance are taken over, counted from the
        front.
      feature_axes: axes that scale and bias span, counted from the front.
      dtype: dtype of the output, None for the one that input and parameters promote to.
      param_dtype: dtype of the parameters.
      epsilon: what is added to the variance.
      force_float32: compute mean and variance in float32 or wider.
      fast_variance: compute the variance as E[|x|^2] - |E[x]|^2, in one pass, rather than as E[|x -
        E[x]|^2].
      use_mean: subtract the mean; else it counts as 0.
      axis_name: mapped axis whose devices share mean and variance.
      axis_index_groups: groups of devices along that axis.
      groups: number of groups that the last axis is divided into, 0 for no groups.
    """

    reduction_axes: tuple[int, ...]
    feature_axes: tuple[int, ...]
    dtype: Any
    param_dtype: Any
    epsilon: float
    force_float32: bool
    fast_variance: bool
    use_mean: bool = True
    axis_name: Any = None
    axis_index_groups: Any = None
    groups: int = 0


def hashable_groups(groups: Iterable[Iterable[int]] | None) -> tuple[tuple[int, ...], ...] | None:
    """Turn groups of device indices into tuples."""
    return None if groups is None else tuple(map(tuple, groups))


def abs_square(x: Array) -> Array:
    """Square the absolute value of each element, real for complex arrays too."""
    if jnp.iscomplexobj(x):
        return lax.square(lax.real(x)) + lax.square(lax.imag(x))
    return lax.square(x)


def _stats_dtype(x: Array, dtype: Dtype | None, force_float32: bool) -> Dtype:
    if dtype is None:
        dtype = jnp.result_type(x)
    return jnp.promote_types(dtype, jnp.float32) if force_float32 else dtype


def _means(arrays: tuple[Array, ...], mask: Array | None, axes: Axes, plan: Plan) -> list[Array]:
    """Take the mean of each array, over the devices as well if they share it: in one message."""
    means = [x.mean(axes, where=mask) for x in arrays]
    if plan.axis_name is None:
        return means
    together = jnp.stack(means, axis=0) if len(means) > 1 else means[0]
    together = lax.pmean(together, plan.axis_name, axis_index_groups=plan.axis_index_groups)
    return list(together) if len(means) > 1 else [together]


def compute_stats(x: Array, mask: Array | None, plan: Plan) -> tuple[Array, Array]:
    """Compute mean and variance over the reduction axes, where the mask is true.

    In groups, `x` is divided into them first, and each feature is given the mean and variance of
    its group.
    """
    x = jnp.asarray(x, _stats_dtype(x, plan.dtype, plan.force_float32))
    axes = plan.reduction_axes
    mask = None if mask is None else jnp.asarray(mask, dtype=bool)
    features = x.shape[-1] if x.ndim else 1
    if plan.groups:
        split = (plan.groups, features // plan.groups)
        x = x.reshape(x.shape[:-1] + split)
        if mask is not None:
            mask = jnp.broadcast_to(mask, (*mask.shape[:-1], features))
            mask = mask.reshape(mask.shape[:-1] + split)
        axes = (*axes, x.ndim - 1)
    if not plan.use_mean:
        (var,) = _means((abs_square(x),), mask, axes, plan)
        mean = jnp.zeros_like(var)
    elif plan.fast_variance:
        mean, square = _means((x, abs_square(x)), mask, axes, plan)
        # Rounding can make the difference negative, and its root would be nan.
        var = jnp.maximum(0.0, square - abs_square(mean))
    else:
        (mean,) = _means((x,), mask, axes, plan)
        centered = x - jnp.expand_dims(mean, axes)
        (var,) = _means((abs_square(centered),), mask, axes, plan)
    if plan.groups:
        mean, var = (_repeat_last(moment, features // plan.groups) for moment in (mean, var))
    return mean, var


def _repeat_last(x: Array, times: int) -> Array:
    return jnp.broadcast_to(x[..., None], (*x.shape, times)).reshape((*x.shape[:-1], -1))


def feature_shape(shape: tuple[int, ...], plan: Plan) -> tuple[int, ...]:
    """Give the shape of the parameters: the sizes of the feature axes."""
    return tuple(shape[axis] for axis in plan.feature_axes)


def normalize(
    x: Array, mean: Array, var: Array, scale: Array | None, bias: Array | None, plan: Plan
) -> Array:
    """Compute `(x - mean) / sqrt(var + epsilon) * scale + bias`."""
    spread = [1] * x.ndim
    for axis in plan.feature_axes:
        spread[axis] = x.shape[axis]
    mean, var = (jnp.expand_dims(moment, plan.reduction_axes) for moment in (mean, var))
    y = x - mean
    factor = lax.rsqrt(var + plan.epsilon)
    used = [x]
    if scale is not None:
        scale = _spread(scale, spread, plan)
        factor = factor * scale
        used.append(scale)
    y = y * factor
    if bias is not None:
        bias = _spread(bias, spread, plan)
        y = y + bias
        used.append(bias)
    return jnp.asarray(y, canonicalize_dtype(*used, dtype=plan.dtype))


def _spread(parameter: Array, shape: list[int], plan: Plan) -> Array:
    parameter = parameter.reshape(shape)
    return parameter if plan.force_float32 else jnp.asarray(parameter, plan.param_dtype)


@staged("plan")
def normalize_by_own_stats(
    x: Array, scale: Array | None, bias: Array | None, mask: Array | None, plan: Plan
) -> Array:
    """Normalize an array by its own mean and variance."""
    mean, var = compute_stats(x, mask, plan)
    return normalize(x, mean, var, scale, bias, plan)


def scale_and_bias(layer: Any, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    """Make or read the parameters that a layer's `use_scale` and `use_bias` ask for."""
    scale = bias = None
    if layer.use_scale:
        scale = layer.param("scale", layer.scale_init, shape, layer.param_dtype)
    if layer.use_bias:
        bias = layer.param("bias", layer.bias_init, shape, layer.param_dtype)
    return scale, bias


def check_axis_name(layer: Module, axis_name: AxisName) -> None:
    """Raise where no surrounding transform has the axis that a layer takes means over."""
    if axis_name is None:
        return
    try:
        lax.psum(1, axis_name)  # a constant, the size of the axis
    except NameError:
        raise UnboundAxisError(
            where(layer),
            "axis_name",
            repr(axis_name),
            "the name of an axis of a surrounding transform",
            f"Call the model under jax.vmap, jax.pmap or nn.vmap with axis_name={axis_name!r}, or under "
            "jax.shard_map over a mesh with that axis; or leave `axis_name` out.",
        ) from None


def check_mask(layer: Module, mask: Array | None, shape: tuple[int, ...]) -> None:
    """Raise where a mask cannot be broadcast to the input."""
    if mask is None:
        return
    try:
        fits = np.broadcast_shapes(jnp.shape(mask), shape) == tuple(shape)
    except ValueError:
        fits = False
    if not fits:
        raise MaskShapeError(
            where(layer),
            "mask",
            f"of shape {jnp.shape(mask)}",
            f"a shape that broadcasts to the input's, {tuple(shape)}",
        )
