"""Normalizations by the statistics of each example. Also exports all other normalizations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from linen_core.errors import LayerArgumentError, LayerShapeError
from linen_core.layers import initializers
from linen_core.layers._common import canonicalize_axes, where
from linen_core.layers._common import canonicalize_axes as _canonicalize_axes
from linen_core.layers._moments import (
    Plan,
    check_axis_name,
    check_mask,
    compute_stats,
    feature_shape,
    hashable_groups,
    normalize,
    normalize_by_own_stats,
    scale_and_bias,
)
from linen_core.layers._moments import abs_square as _abs_sq
from linen_core.layers.batch_norm import BatchNorm
from linen_core.layers.weight_norm import SpectralNorm, WeightNorm
from linen_core.layers.weight_norm import l2_normalize as _l2_normalize
from linen_core.module import Module, compact, nowrap
from linen_core.typing import Array, Axes, Dtype, Initializer

__all__ = [
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "RMSNorm",
    "SpectralNorm",
    "WeightNorm",
    "_abs_sq",
    "_canonicalize_axes",
    "_compute_stats",
    "_l2_normalize",
    "_normalize",
]


def _plan(layer: Any, reduction_axes: tuple[int, ...], feature_axes: tuple[int, ...]) -> Plan:
    check_axis_name(layer, layer.axis_name)
    return Plan(
        reduction_axes,
        feature_axes,
        layer.dtype,
        layer.param_dtype,
        layer.epsilon,
        layer.force_float32_reductions,
        layer.use_fast_variance,
        axis_name=layer.axis_name,
        axis_index_groups=hashable_groups(layer.axis_index_groups),
    )


class LayerNorm(Module):
    """Normalize each example by mean and variance over its features.

    The output is `(x - mean) / sqrt(var + epsilon) * scale + bias`. The parameters `scale` and
    `bias` have the sizes of the feature axes. Source: Ba et al., 2016, https://arxiv.org/abs/1607.06450.

    Attributes:
      epsilon: added to the variance.
      dtype: dtype of the output; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: the axes over which mean and variance are computed.
      feature_axes: the axes of scale and bias.
      axis_name: name of a mapped axis (`jax.pmap`, `jax.shard_map`) over which mean and variance are
        shared.
      axis_index_groups: groups of devices along that axis; by default all of them. Ignored without `axis_name`.
      use_fast_variance: compute the variance as E[x^2] - E[x]^2: faster, but less accurate if the
        mean is large.
      force_float32_reductions: compute mean and variance in float32 or wider.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> y, variables = nn.LayerNorm().init_with_output(jax.random.key(0), jnp.array([[1.0, 3.0]]))
    >>> print(jnp.round(y, 3), jax.tree.map(jnp.shape, variables))
    [[-1.  1.]] {'params': {'bias': (2,), 'scale': (2,)}}
    """

    epsilon: float = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: jax.Array | None = None) -> Array:
        """Normalize.

        Args:
          x: an array that has the reduction axes and the feature axes.
          mask: a boolean array that broadcasts to `x`; it selects the elements for mean and variance.

        Returns:
          An array of the same shape.

        Raises:
          MaskShapeError: the mask does not broadcast to the input.
        """
        check_mask(self, mask, x.shape)
        axes = canonicalize_axes(x.ndim, self.reduction_axes)
        plan = _plan(self, axes, canonicalize_axes(x.ndim, self.feature_axes))
        scale, bias = scale_and_bias(self, feature_shape(x.shape, plan))
        return normalize_by_own_stats(x, scale, bias, mask, plan)


class RMSNorm(Module):
    """Normalize each example by the root mean square of its features.

    The output is `x / sqrt(mean(x^2) + epsilon) * scale`. The parameter `scale` has the sizes
    of the feature axes. Source: Zhang and Sennrich, 2019, https://arxiv.org/abs/1910.07467.

    Attributes:
      epsilon: added to the mean square.
      dtype: dtype of the output; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      use_scale: whether to multiply by a scale.
      scale_init: initializer of the scale.
      reduction_axes: the axes over which the mean square is computed.
      feature_axes: the axes of the scale.
      axis_name: name of a mapped axis (`jax.pmap`, `jax.shard_map`) over which the mean square is
        shared.
      axis_index_groups: groups of devices along that axis; by default all of them. Ignored without `axis_name`.
      use_fast_variance: ignored, because the mean is not subtracted.
      force_float32_reductions: compute the mean square in float32 or wider.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> y, variables = nn.RMSNorm().init_with_output(jax.random.key(0), jnp.array([[3.0, -3.0]]))
    >>> print(jnp.round(y, 3), jax.tree.map(jnp.shape, variables))
    [[ 1. -1.]] {'params': {'scale': (2,)}}
    """

    epsilon: float = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_scale: bool = True
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes = -1
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: jax.Array | None = None) -> Array:
        """Normalize.

        Args:
          x: an array that has the reduction axes and the feature axes.
          mask: a boolean array that broadcasts to `x`; it selects the elements for the mean square.

        Returns:
          An array of the same shape.

        Raises:
          MaskShapeError: the mask does not broadcast to the input.
        """
        check_mask(self, mask, x.shape)
        axes = canonicalize_axes(x.ndim, self.reduction_axes)
        plan = _plan(self, axes, canonicalize_axes(x.ndim, self.feature_axes))
        plan = plan._replace(use_mean=False)
        scale = None
        if self.use_scale:
            shape = feature_shape(x.shape, plan)
            scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        return normalize_by_own_stats(x, scale, None, mask, plan)


class GroupNorm(Module):
    """Normalize each example by mean and variance over groups of features and all inner axes.

    The last axis is split into `num_groups` equal groups, or into groups of `group_size`. Exactly one of
    the two is None. The parameters `scale` and `bias` have the size of the last axis. Source: Wu
    and He, 2018, https://arxiv.org/abs/1803.08494.

    Attributes:
      num_groups: number of groups.
      group_size: number of features in a group.
      epsilon: added to the variance.
      dtype: dtype of the output; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      reduction_axes: the axes over which mean and variance are computed. They must include the last; by default they
        are all axes except the first.
      axis_name: name of a mapped axis (`jax.pmap`, `jax.shard_map`) over which mean and variance are
        shared.
      axis_index_groups: groups of devices along that axis; by default all of them. Ignored without `axis_name`.
      use_fast_variance: compute the variance as E[x^2] - E[x]^2: faster, but less accurate if the
        mean is large.
      force_float32_reductions: compute mean and variance in float32 or wider.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> x = jnp.array([[1.0, 3.0, 10.0, 30.0]])
    >>> y, variables = nn.GroupNorm(num_groups=2).init_with_output(jax.random.key(0), x)
    >>> print(jnp.round(y, 3), jax.tree.map(jnp.shape, variables))
    [[-1.  1. -1.  1.]] {'params': {'bias': (4,), 'scale': (4,)}}
    """

    num_groups: int | None = 32
    group_size: int | None = None
    epsilon: float = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    reduction_axes: Axes | None = None
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: jax.Array | None = None) -> Array:
        """Normalize.

        Args:
          x: an array of shape (batch, ..., features).
          mask: a boolean array that broadcasts to `x`; it selects the elements for mean and variance.

        Returns:
          An array of the same shape.

        Raises:
          LayerArgumentError: the reduction axes do not include the last axis, both or neither of `num_groups` and
            `group_size` are given, or the mask does not broadcast to the input.
          LayerShapeError: the number of features is not a multiple of the number or size of the groups.
        """
        last = x.ndim - 1
        if self.reduction_axes is None:
            axes = (*range(1, last), last)
        else:
            axes = canonicalize_axes(x.ndim, self.reduction_axes)
        if axes[-1] != last:
            raise LayerArgumentError(
                where(self),
                "reduction_axes",
                self.reduction_axes,
                "axes that include the last one, which holds the features",
            )
        groups = self._groups(x.shape[-1])
        check_mask(self, mask, x.shape)
        plan = _plan(self, axes[:-1], (last,))._replace(groups=groups)
        scale, bias = scale_and_bias(self, feature_shape(x.shape, plan))
        return normalize_by_own_stats(x, scale, bias, mask, plan)

    @nowrap
    def _groups(self, channels: int) -> int:
        """Return the number of groups."""
        if (self.num_groups is None) == (self.group_size is None):
            raise LayerArgumentError(
                where(self),
                "num_groups",
                f"{self.num_groups} with `group_size` {self.group_size}",
                "exactly one of the two",
                "Pass `num_groups=None` together with `group_size`.",
            )
        name = "num_groups" if self.group_size is None else "group_size"
        number: int = getattr(self, name)
        if number <= 0 or channels % number:
            raise LayerShapeError(
                where(self), name, number, f"a divisor of the number of features, {channels}"
            )
        return number if self.group_size is None else channels // number


class InstanceNorm(Module):
    """Normalize each feature of each example by mean and variance over the inner axes.

    The parameters `scale` and `bias` have the sizes of the feature axes. Source: Ulyanov et al., 2016,
    https://arxiv.org/abs/1607.08022.

    Attributes:
      epsilon: added to the variance.
      dtype: dtype of the output; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      use_bias: whether to add a bias.
      use_scale: whether to multiply by a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      feature_axes: the axes of scale and bias. Mean and variance are computed over all other axes except the first.
      axis_name: name of a mapped axis (`jax.pmap`, `jax.shard_map`) over which mean and variance are
        shared.
      axis_index_groups: groups of devices along that axis; by default all of them. Ignored without `axis_name`.
      use_fast_variance: compute the variance as E[x^2] - E[x]^2: faster, but less accurate if the
        mean is large.
      force_float32_reductions: compute mean and variance in float32 or wider.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> x = jnp.array([[[1.0, 10.0], [3.0, 30.0]]])
    >>> y, variables = nn.InstanceNorm().init_with_output(jax.random.key(0), x)
    >>> print(jnp.round(y[0, :, 0], 3), jax.tree.map(jnp.shape, variables))
    [-1.  1.] {'params': {'bias': (2,), 'scale': (2,)}}
    """

    epsilon: float = 1e-6
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    feature_axes: Axes = -1
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(self, x: Array, *, mask: jax.Array | None = None) -> Array:
        """Normalize.

        Args:
          x: an array of shape (batch, ..., features).
          mask: a boolean array that broadcasts to `x`; it selects the elements for mean and variance.

        Returns:
          An array of the same shape.

        Raises:
          LayerArgumentError: the first axis is a feature axis, or the mask does not broadcast to
            the input.
        """
        feature_axes = canonicalize_axes(x.ndim, self.feature_axes)
        if 0 in feature_axes:
            raise LayerArgumentError(
                where(self),
                "feature_axes",
                self.feature_axes,
                "axes other than the first, the batch",
            )
        check_mask(self, mask, x.shape)
        axes = tuple(axis for axis in range(1, x.ndim) if axis not in feature_axes)
        plan = _plan(self, axes, feature_axes)
        scale, bias = scale_and_bias(self, feature_shape(x.shape, plan))
        return normalize_by_own_stats(x, scale, bias, mask, plan)


# The two functions below are for libraries that build on those of flax with these names.


def _compute_stats(
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
    return compute_stats(x, mask, plan)


def _normalize(
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
