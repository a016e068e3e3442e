"""Activation functions, and PReLU, an activation with a parameter.

The functions compute the same as those of `jax.nn`, which are mostly jitted objects and cannot be pickled. These are
plain functions, so a module with one of them as a field can be pickled.

A function of `x` alone is applied elementwise: it takes an array of any shape and dtype, and returns an array of the
same shape.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import gelu, logsumexp, one_hot, softmax
from jax.typing import ArrayLike

from linen_core._jax_compat import INLINE
from linen_core.layers.dense import Dense
from linen_core.module import Module, compact
from linen_core.typing import Array, Axes, Dtype

__all__ = [
    "Dense",
    "Module",
    "PReLU",
    "celu",
    "compact",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "normalize",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "standardize",
    "swish",
    "tanh",
]

# These have a derivative rule in Python, which costs time at each call. Compiled as a whole they are cheaper, and the
# result has the same bits.
_relu = jax.jit(jax.nn.relu, inline=INLINE)
_relu6 = jax.jit(jax.nn.relu6, inline=INLINE)


def _is_one(alpha: object) -> bool:
    """Return whether an argument has its default value: passed on, it would add an array to the compiled program."""
    return isinstance(alpha, float) and alpha == 1.0


def celu(x: Array, alpha: ArrayLike = 1.0) -> Array:
    """Compute the continuously differentiable exponential linear unit.

    `max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)`.

    Source: Barron, 2017, https://arxiv.org/abs/1704.07483.

    Args:
      x: an array of any shape and dtype.
      alpha: the output approaches `-alpha` for large negative `x`.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(celu(-1.0), 4))
    -0.6321
    """
    return jax.nn.celu(x) if _is_one(alpha) else jax.nn.celu(x, alpha)


def elu(x: Array, alpha: ArrayLike = 1.0) -> Array:
    """Compute the exponential linear unit: `x if x > 0 else alpha * (exp(x) - 1)`.

    Source: Clevert et al., 2015, https://arxiv.org/abs/1511.07289.

    Args:
      x: an array of any shape and dtype.
      alpha: the output approaches `-alpha` for large negative `x`.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(elu(-1.0), 4))
    -0.6321
    """
    return jax.nn.elu(x) if _is_one(alpha) else jax.nn.elu(x, alpha)


def glu(x: Array, axis: int = -1) -> Array:
    """Compute the gated linear unit: one half of an axis, gated by the other half.

    `x1 * sigmoid(x2)`, where `x1` and `x2` are the halves of `x` along `axis`.

    Source: Dauphin et al., 2016, https://arxiv.org/abs/1612.08083.

    Args:
      x: an array of any shape and dtype.
      axis: the axis to split into halves.

    Returns:
      An array of half the size along `axis`.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(glu(jnp.array([3.0, 0.0])), 4))
    [1.5]
    """
    return jax.nn.glu(x, axis)


def hard_sigmoid(x: Array) -> Array:
    """Compute a piecewise linear sigmoid: `relu6(x + 3) / 6`.

    Source: Howard et al., 2019, https://arxiv.org/abs/1905.02244.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(hard_sigmoid(0.0), 4))
    0.5
    """
    return jax.nn.hard_sigmoid(x)


def hard_silu(x: Array) -> Array:
    """Compute a piecewise linear SiLU: `x * relu6(x + 3) / 6`.

    Source: Howard et al., 2019, https://arxiv.org/abs/1905.02244.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(hard_silu(3.0), 4))
    3.0
    """
    return jax.nn.hard_silu(x)


def hard_tanh(x: Array) -> Array:
    """Compute a piecewise linear hyperbolic tangent: `min(max(x, -1), 1)`.

    Source: Collobert, 2004.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(hard_tanh(2.0), 4))
    1.0
    """
    return jax.nn.hard_tanh(x)


def leaky_relu(x: Array, negative_slope: ArrayLike = 0.01) -> Array:
    """Compute the rectified linear unit with a small slope below zero.

    `x if x >= 0 else negative_slope * x`.

    Source: Maas et al., 2013.

    Args:
      x: an array of any shape and dtype.
      negative_slope: the slope below zero.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(leaky_relu(-1.0), 4))
    -0.01
    """
    return jax.nn.leaky_relu(x, negative_slope)


def log_sigmoid(x: Array) -> Array:
    """Compute the logarithm of the sigmoid: `-log(1 + exp(-x))`.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(log_sigmoid(0.0), 4))
    -0.6931
    """
    return jax.nn.log_sigmoid(x)


def log_softmax(x: Array, axis: Axes | None = -1, where: Array | None = None) -> Array:
    """Compute the logarithm of the softmax.

    `x - log(sum(exp(x)))`, summed along `axis` over the elements that `where` selects.

    Args:
      x: an array of any shape and dtype.
      axis: the axis, or axes, to sum along.
      where: boolean array of the elements to sum; it broadcasts to `x`.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(log_softmax(jnp.array([0.0, 0.0])), 4))
    [-0.6931 -0.6931]
    """
    return jax.nn.log_softmax(x, axis, where)


def relu(x: Array) -> Array:
    """Compute the rectified linear unit: `max(x, 0)`, with gradient 0 at 0.

    Source: Nair and Hinton, 2010.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(relu(-1.0), 4))
    0.0
    """
    return _relu(x)


def relu6(x: Array) -> Array:
    """Compute the rectified linear unit with the maximum 6: `min(max(x, 0), 6)`.

    Source: Krizhevsky, 2010.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(relu6(7.0), 4))
    6.0
    """
    return _relu6(x)


def selu(x: Array) -> Array:
    """Compute the self-normalizing exponential linear unit: `1.0507 * elu(x, 1.6733)`.

    Source: Klambauer et al., 2017, https://arxiv.org/abs/1706.02515.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(selu(1.0), 4))
    1.0507
    """
    return jax.nn.selu(x)


def sigmoid(x: Array) -> Array:
    """Compute the logistic function: `1 / (1 + exp(-x))`.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(sigmoid(0.0), 4))
    0.5
    """
    return jax.nn.sigmoid(x)


def silu(x: Array) -> Array:
    """Compute the sigmoid linear unit, also called swish: `x * sigmoid(x)`.

    Source: Elfwing et al., 2017, https://arxiv.org/abs/1702.03118.

    >>> import jax.numpy as jnp
    >>> print(f"{silu(1.0):.4f}")
    0.7311
    """
    return jax.nn.silu(x)


def soft_sign(x: Array) -> Array:
    """Compute the soft sign: `x / (1 + |x|)`.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(soft_sign(1.0), 4))
    0.5
    """
    return jax.nn.soft_sign(x)


def softplus(x: Array) -> Array:
    """Compute the soft plus, a smooth rectifier: `log(1 + exp(x))`.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(softplus(0.0), 4))
    0.6931
    """
    return jax.nn.softplus(x)


def standardize(
    x: Array,
    axis: Axes | None = -1,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5,
    where: Array | None = None,
    *,
    algorithm: str = "fast",
) -> Array:
    """Shift and scale an array to mean 0 and variance 1.

    `(x - mean) / sqrt(variance + epsilon)`. Mean and variance are computed along `axis` unless given.

    Args:
      x: an array of any shape and dtype.
      axis: the axis, or axes, of mean and variance.
      mean: the mean; computed from `x` if None.
      variance: the variance; computed from `x` if None.
      epsilon: added to the variance.
      where: boolean array of the elements for mean and variance; it broadcasts to `x`.
      algorithm: how `jax.nn.standardize` computes the variance.

    Returns:
      An array of the same shape.

    >>> import jax.numpy as jnp
    >>> print(jnp.round(standardize(jnp.array([1.0, 3.0])), 4))
    [-1. 1.]
    """
    # JAX 0.10.0 has no such argument.
    options: dict[str, Any] = {} if algorithm == "fast" else {"algorithm": algorithm}
    return jax.nn.standardize(x, axis, mean, variance, epsilon, where, **options)


def tanh(x: Array, /) -> Array:
    """Compute the hyperbolic tangent: `(exp(x) - exp(-x)) / (exp(x) + exp(-x))`.

    >>> import jax.numpy as jnp
    >>> print(f"{tanh(1.0):.4f}")
    0.7616
    """
    return jnp.tanh(x)


swish = silu
hard_swish = hard_silu
normalize = standardize


def _slope(_: Array, slope: float, dtype: Dtype) -> Array:
    return jnp.asarray(slope, dtype)


def _prelu(inputs: Array, slope: Array) -> Array:
    return jnp.where(inputs >= 0, inputs, jnp.asarray(slope, inputs.dtype) * inputs)


class PReLU(Module):
    """Rectify with a learned slope below zero: `x if x >= 0 else negative_slope * x`.

    The parameter `negative_slope` is a scalar. Source: He et al., 2015,
    https://arxiv.org/abs/1502.01852.

    Attributes:
      param_dtype: dtype of the parameter.
      negative_slope_init: initial value of the slope.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> y, variables = nn.PReLU().init_with_output(jax.random.key(0), jnp.array([-1.0, 2.0]))
    >>> print(y, variables["params"]["negative_slope"])
    [-0.01  2.  ] 0.01
    """

    param_dtype: Dtype = jnp.float32
    negative_slope_init: float = 0.01

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the activation.

        Args:
          inputs: an array of any shape, floating-point.

        Returns:
          An array of the same shape and dtype.
        """
        slope = self.param("negative_slope", _slope, self.negative_slope_init, self.param_dtype)
        return _prelu(inputs, slope)
