"""Mean and variance, and normalization by them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_core.errors import MaskShapeError, UnboundAxisError
from linen_core.layers._common import where
from linen_core.layers._staging import staged
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
    """The static options of a normalization; hashable, because it is a static argument of staged functions.

    Attributes:
      reduction_axes: non-negative axes of the input over which mean and variance are computed.
      feature_axes: non-negative axes of scale and bias.
      dtype: dtype of the output; None for the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      epsilon: added to the variance.
      force_float32: compute mean and variance in float32 or wider.
      fast_variance: compute the variance as E[|x|^2] - |E[x]|^2, in one pass, rather than as E[|x -
        E[x]|^2].
      use_mean: subtract the mean; if False, the mean is taken as 0.
      axis_name: mapped axis over which mean and variance are shared.
      axis_index_groups: groups of devices along that axis.
      groups: number of groups of the last axis; 0 for no groups.
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
    """Convert groups of device indices to tuples."""
    return None if groups is None else tuple(map(tuple, groups))


def abs_square(x: Array) -> Array:
    """Return the squared absolute value of each element, a real number also for complex arrays."""
    if jnp.iscomplexobj(x):
        return lax.square(lax.real(x)) + lax.square(lax.imag(x))
    return lax.square(x)


def _stats_dtype(x: Array, dtype: Dtype | None, force_float32: bool) -> Dtype:
    if dtype is None:
        dtype = jnp.result_type(x)
    return jnp.promote_types(dtype, jnp.float32) if force_float32 else dtype


def _means(arrays: tuple[Array, ...], mask: Array | None, axes: Axes, plan: Plan) -> list[Array]:
    """Return the mean of each array, also over devices if the plan has a mapped axis, in a single collective."""
    means = [x.mean(axes, where=mask) for x in arrays]
    if plan.axis_name is None:
        return means
    # One collective for all means: each costs a synchronisation of the devices.
    stacked = jnp.stack(means, axis=0) if len(means) > 1 else means[0]
    stacked = lax.pmean(stacked, plan.axis_name, axis_index_groups=plan.axis_index_groups)
    return list(stacked) if len(means) > 1 else [stacked]


def compute_stats(x: Array, mask: Array | None, plan: Plan) -> tuple[Array, Array]:
    """Compute mean and variance over the reduction axes, of the elements where the mask is true.

    With groups, each feature gets the mean and variance of its group.
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
        # Rounding can make the difference negative. Its square root would be nan.
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
    """Return the shape of the parameters: the sizes of the feature axes."""
    return tuple(shape[axis] for axis in plan.feature_axes)


def normalize(
    x: Array, mean: Array, var: Array, scale: Array | None, bias: Array | None, plan: Plan
) -> Array:
    """Compute `(x - mean) / sqrt(var + epsilon) * scale + bias`."""
    shape = [1] * x.ndim
    for axis in plan.feature_axes:
        shape[axis] = x.shape[axis]
    mean, var = (jnp.expand_dims(moment, plan.reduction_axes) for moment in (mean, var))
    y = x - mean
    factor = lax.rsqrt(var + plan.epsilon)
    used = [x]
    if scale is not None:
        scale = _broadcastable(scale, shape, plan)
        factor = factor * scale
        used.append(scale)
    y = y * factor
    if bias is not None:
        bias = _broadcastable(bias, shape, plan)
        y = y + bias
        used.append(bias)
    return jnp.asarray(y, canonicalize_dtype(*used, dtype=plan.dtype))


def _broadcastable(parameter: Array, shape: list[int], plan: Plan) -> Array:
    parameter = parameter.reshape(shape)
    return parameter if plan.force_float32 else jnp.asarray(parameter, plan.param_dtype)


@staged("plan")
def normalize_by_own_stats(
    x: Array, scale: Array | None, bias: Array | None, mask: Array | None, plan: Plan
) -> Array:
    """Normalize an array by its mean and variance."""
    mean, var = compute_stats(x, mask, plan)
    return normalize(x, mean, var, scale, bias, plan)


def scale_and_bias(layer: Any, shape: tuple[int, ...]) -> tuple[Array | None, Array | None]:
    """Create or read the parameters that `use_scale` and `use_bias` of a layer select."""
    scale = bias = None
    if layer.use_scale:
        scale = layer.param("scale", layer.scale_init, shape, layer.param_dtype)
    if layer.use_bias:
        bias = layer.param("bias", layer.bias_init, shape, layer.param_dtype)
    return scale, bias


def check_axis_name(layer: Module, axis_name: AxisName) -> None:
    """Check that a surrounding transform has the axis over which a layer shares its statistics."""
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
    """Check that a mask broadcasts to the input."""
    if mask is None:
        return
    try:
        broadcasts = np.broadcast_shapes(jnp.shape(mask), shape) == tuple(shape)
    except ValueError:
        broadcasts = False
    if not broadcasts:
        raise MaskShapeError(
            where(layer),
            "mask",
            f"of shape {jnp.shape(mask)}",
            f"a shape that broadcasts to the input's, {tuple(shape)}",
        )
