"""Statistics and normalization as functions of plain arguments, for libraries that build on those of flax."""

from __future__ import annotations

from collections.abc import Iterable

import jax
import jax.numpy as jnp

from linen_core.layers._common import canonicalize_axes
from linen_core.layers._moments import Plan, feature_shape, hashable_groups, normalize
from linen_core.layers._moments import compute_stats as compute_planned_stats
from linen_core.module import Module
from linen_core.typing import Array, Axes, Dtype, Initializer

__all__ = ["compute_stats", "l2_normalize", "normalize_with"]


def compute_stats(
    x: Array,
    axes: Axes,
    dtype: Dtype | None,
    axis_name: str | None = None,
    axis_index_groups: Iterable[Iterable[int]] | None = None,
    use_mean: bool = True,
    use_fast_variance: bool = True,
    mask: Array | None = None,
    force_float32_reductions: bool = True,
) -> tuple[Array, Array]:
    """Compute mean and variance over axes; the arguments are those of `BatchNorm`."""
    plan = Plan(
        reduction_axes=canonicalize_axes(jnp.ndim(x), axes),
        feature_axes=(),
        dtype=dtype,
        param_dtype=None,
        epsilon=0.0,
        force_float32=force_float32_reductions,
        fast_variance=use_fast_variance,
        use_mean=use_mean,
        axis_name=axis_name,
        axis_index_groups=hashable_groups(axis_index_groups),
    )
    return compute_planned_stats(x, mask, plan)


def normalize_with(
    mdl: Module,
    x: Array,
    mean: Array,
    var: Array,
    reduction_axes: Axes,
    feature_axes: Axes,
    dtype: Dtype | None,
    param_dtype: Dtype,
    epsilon: float,
    use_bias: bool,
    use_scale: bool,
    bias_init: Initializer,
    scale_init: Initializer,
    force_float32_reductions: bool = True,
) -> Array:
    """Normalize by a given mean and variance, with parameters `scale` and `bias` of the module `mdl`."""
    plan = Plan(
        reduction_axes=canonicalize_axes(x.ndim, reduction_axes),
        feature_axes=canonicalize_axes(x.ndim, feature_axes),
        dtype=dtype,
        param_dtype=param_dtype,
        epsilon=epsilon,
        force_float32=force_float32_reductions,
        fast_variance=True,
    )
    shape = feature_shape(x.shape, plan)
    scale = mdl.param("scale", scale_init, shape, param_dtype) if use_scale else None
    bias = mdl.param("bias", bias_init, shape, param_dtype) if use_bias else None
    return normalize(x, mean, var, scale, bias, plan)


def l2_normalize(x: Array, axis: Axes | None = None, eps: float = 1e-12) -> Array:
    """Divide by the Euclidean norm over axes, or over all of them; ``eps`` is added to its square."""
    return x * jax.lax.rsqrt((x * x).sum(axis=axis, keepdims=True) + eps)
