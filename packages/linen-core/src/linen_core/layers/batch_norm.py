"""BatchNorm: normalization by statistics of the batch, with running averages for inference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from linen_core.layers import initializers
from linen_core.layers._common import canonicalize_axes
from linen_core.layers._moments import (
    Plan,
    check_axis_name,
    check_mask,
    compute_stats,
    feature_shape,
    hashable_groups,
    normalize,
    scale_and_bias,
)
from linen_core.layers._staging import staged
from linen_core.module import Module, compact, merge_param, nowrap
from linen_core.typing import Array, Axes, Dtype, Initializer

__all__ = ["BatchNorm"]

_stats_staged = staged("plan")(compute_stats)
_normalize_staged = staged("plan")(normalize)


@staged("momentum")
def _update_average(old: Array, new: Array, momentum: float) -> Array:
    return momentum * old + (1 - momentum) * new


class BatchNorm(Module):
    """Normalize each feature by mean and variance over the batch.

    The output is `(x - mean) / sqrt(var + epsilon) * scale + bias`.

    In training, mean and variance are those of the input. With `use_running_average` they are running
    averages: the variables `mean` and `var` of the collection `batch_stats`, which must be mutable in
    training. `init` sets them to 0 and 1. The parameters
    `scale` and `bias` have the size of the feature axes. Source: Ioffe and Szegedy, 2015,
    https://arxiv.org/abs/1502.03167.

    Attributes:
      use_running_average: normalize by the running averages. It is given here or in the call.
      axis: the feature axes; mean and variance are computed over all other axes.
      momentum: the weight of the old average at each step.
      epsilon: added to the variance.
      dtype: dtype of the output; by default the one that input and parameters promote to.
      param_dtype: dtype of the parameters.
      use_bias: whether there is a bias.
      use_scale: whether there is a scale.
      bias_init: initializer of the bias.
      scale_init: initializer of the scale.
      axis_name: name of a mapped axis (`jax.pmap`, `jax.shard_map`) over which mean and variance are
        shared.
      axis_index_groups: groups of devices along that axis; by default all of them. Ignored without `axis_name`.
      use_fast_variance: compute the variance as E[x^2] - E[x]^2: faster, but less accurate if the
        mean is large.
      force_float32_reductions: compute mean and variance in float32 or wider, and keep the averages
        in float32.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer, x = nn.BatchNorm(momentum=0.9), jnp.array([[1.0], [3.0]])
    >>> variables = layer.init(jax.random.key(0), x, use_running_average=False)
    >>> y, changed = layer.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
    >>> print(jnp.round(y[:, 0], 3), jnp.round(changed["batch_stats"]["mean"], 3))
    [-1.  1.] [0.2]
    """

    use_running_average: bool | None = None
    axis: Axes = -1
    momentum: float = 0.99
    epsilon: float = 1e-5
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    use_bias: bool = True
    use_scale: bool = True
    bias_init: Initializer = initializers.zeros
    scale_init: Initializer = initializers.ones
    axis_name: str | None = None
    axis_index_groups: Any = None
    use_fast_variance: bool = True
    force_float32_reductions: bool = True

    @compact
    def __call__(
        self,
        x: Array,
        use_running_average: bool | None = None,
        *,
        mask: jax.Array | None = None,
    ) -> Array:
        """Normalize.

        Args:
          x: an array of any shape that has the feature axes.
          use_running_average: normalize by the running averages; needed if the field is None.
          mask: a boolean array that broadcasts to `x`; it selects the elements for mean and variance. Ignored on
            running averages.

        Returns:
          An array of the same shape.

        Raises:
          MaskShapeError: the mask does not broadcast to the input.
          UnboundAxisError: no surrounding transform has the axis `axis_name`.
        """
        use_average = merge_param(
            "use_running_average", self.use_running_average, use_running_average
        )
        plan = self._plan(x.ndim)
        shape = feature_shape(x.shape, plan)
        dtype = jnp.float32 if self.force_float32_reductions else self.param_dtype
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, dtype)
        if use_average:
            mean, var = running_mean.value, running_var.value
            if not self.force_float32_reductions:
                mean, var = (jnp.asarray(value, self.param_dtype) for value in (mean, var))
        else:
            check_mask(self, mask, x.shape)
            check_axis_name(self, plan.axis_name)
            mean, var = _stats_staged(x, mask, plan)
            if not self.is_initializing():
                running_mean.value = _update_average(running_mean.value, mean, self.momentum)
                running_var.value = _update_average(running_var.value, var, self.momentum)
        scale, bias = scale_and_bias(self, shape)
        return _normalize_staged(x, mean, var, scale, bias, plan)

    @nowrap
    def _plan(self, ndim: int) -> Plan:
        feature_axes = canonicalize_axes(ndim, self.axis)
        return Plan(
            tuple(axis for axis in range(ndim) if axis not in feature_axes),
            feature_axes,
            self.dtype,
            self.param_dtype,
            self.epsilon,
            self.force_float32_reductions,
            self.use_fast_variance,
            # `init` usually runs outside of the transform that has the mapped axis.
            axis_name=None if self.is_initializing() else self.axis_name,
            axis_index_groups=hashable_groups(self.axis_index_groups),
        )
