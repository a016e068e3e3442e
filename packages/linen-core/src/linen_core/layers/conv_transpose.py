"""Transposed convolutions: ConvTranspose. Images have the layout (batch..., space..., features)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from linen_core.layers import initializers
from linen_core.layers._common import canonicalize_tuple, default_kernel_init
from linen_core.layers._staging import add_bias, staged
from linen_core.layers.conv import (
    check_mask,
    check_rank,
    flatten_batch,
    layer_padding,
    spread_option,
)
from linen_core.layers.dtypes import PromoteDtypeFn, promote_dtype
from linen_core.module import Module, compact, nowrap
from linen_core.typing import Array, Dtype, Initializer, PaddingLike, PrecisionLike

__all__ = ["ConvTranspose"]


class _Window(NamedTuple):
    """Static arguments of `jax.lax.conv_transpose`, and whether the output wraps around."""

    rank: int
    strides: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...]
    transpose_kernel: bool
    circular: bool


def _convolve_transposed(
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    mask: Array | None,
    window: _Window,
    dtype: Dtype | None,
    precision: PrecisionLike,
    preferred_element_type: Dtype | None,
    promote: PromoteDtypeFn = promote_dtype,
) -> Array:
    batch = inputs.shape[: inputs.ndim - (window.rank + 1)]
    inputs = flatten_batch(inputs, window.rank)
    if mask is not None:
        kernel = kernel * mask
    inputs, kernel, bias = promote(inputs, kernel, bias, dtype=dtype)
    y: Array = lax.conv_transpose(
        inputs,
        kernel,
        window.strides,
        window.padding,
        rhs_dilation=window.dilation,
        transpose_kernel=window.transpose_kernel,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    if window.circular:
        periods = [n * step for n, step in zip(inputs.shape[1:-1], window.strides, strict=True)]
        y = _wrap(y, periods, window.transpose_kernel)
    if bias is not None:
        y = add_bias(y, bias, (1,) * (y.ndim - 1) + bias.shape)
    return y if len(batch) == 1 else jnp.reshape(y, batch + y.shape[1:])


_convolve_transposed_staged = staged("window", "dtype", "precision", "preferred_element_type")(
    _convolve_transposed
)


def _wrap(y: Array, periods: Sequence[int], extra_right: bool) -> Array:
    """Wrap each spatial axis around a period: elements at a distance of whole periods are added.

    First the axis is padded with zeros to whole periods, equally on both sides, to align the image with the start of a
    period. If the number of zeros is odd, the extra one is on the left, or on the right for a transposed kernel, which
    mirrors Conv.
    """
    pads = []
    for size, period in zip(y.shape[1:-1], periods, strict=True):
        missing = (period - size) % (2 * period)
        small, large = missing // 2, (missing + 1) // 2
        pads.append((small, large) if extra_right else (large, small))
    y = jnp.pad(y, [(0, 0), *pads, (0, 0)])
    for axis, period in enumerate(periods, start=1):
        y = y.reshape((*y.shape[:axis], -1, period, *y.shape[axis + 1 :]))
        y = y.sum(axis=axis)
    return y


class ConvTranspose(Module):
    """Transposed convolution, which enlarges an image by the strides.

    The parameters are `kernel`, of shape (window..., input features, features), and `bias`, of
    shape (features,). The computation is that of `jax.lax.conv_transpose`.

    Attributes:
      features: number of output features.
      kernel_size: size of the window along each spatial axis; an integer means one spatial axis.
      strides: the factor by which each spatial axis is enlarged.
      padding: "SAME", "VALID", "CIRCULAR" (the image repeats), a number for all sides, or a
        number or a pair (low, high) for each axis. It is added to the enlarged image: PyTorch's `padding=p,
        output_padding=o` is the pair (d * (k - 1) - p, d * (k - 1) - p + o) for a window of size k and a dilation of d,
        with `transpose_kernel`.
      kernel_dilation: step between two pixels of the window.
      use_bias: whether to add a bias.
      mask: an array of the kernel's shape; the kernel is multiplied by it.
      dtype: dtype to compute in; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      precision: precision of the product, see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      transpose_kernel: flip the spatial axes of the kernel and swap its last two. The layer is then the
        transpose of a Conv with the same kernel, and the shape of the kernel is (window..., features, input
        features).
      promote_dtype: function that casts (inputs, kernel, bias) to one dtype.
      preferred_element_type: dtype in which the product accumulates, and which it returns.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.ConvTranspose(features=4, kernel_size=(3,), strides=(2,))
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 3)))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (1, 16, 4) {'params': {'bias': (4,), 'kernel': (3, 3, 4)}}
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: Sequence[int] | None = None
    padding: PaddingLike = "SAME"
    kernel_dilation: Sequence[int] | None = None
    use_bias: bool = True
    mask: Array | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()
    transpose_kernel: bool = False
    promote_dtype: PromoteDtypeFn = promote_dtype
    preferred_element_type: Dtype | None = None

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the convolution.

        Args:
          inputs: an array of shape (batch..., space..., features), with zero or more batch axes.

        Returns:
          An array of shape (batch..., space..., features).

        Raises:
          LayerRankError: the input has too few axes.
          LayerArgumentError: the shape of the mask differs from the kernel's, or the padding is invalid.
        """
        size = canonicalize_tuple(self.kernel_size)
        check_rank(self, inputs, len(size))
        ends = (inputs.shape[-1], self.features)
        kernel_shape = size + (ends[::-1] if self.transpose_kernel else ends)
        if self.mask is not None:
            check_mask(self, self.mask, kernel_shape)
        kernel = self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype)
        window = self._window(len(size))
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        args = (inputs, kernel, bias, self.mask, window, self.dtype, self.precision)
        if self.promote_dtype is not promote_dtype:
            return _convolve_transposed(*args, self.preferred_element_type, self.promote_dtype)
        return _convolve_transposed_staged(*args, self.preferred_element_type)

    @nowrap
    def _window(self, rank: int) -> _Window:
        padding: Any = layer_padding(self, rank, ("CIRCULAR",))
        circular = padding == "CIRCULAR"
        if circular:
            padding = "VALID"
        elif not isinstance(padding, str):
            padding = tuple(map(tuple, padding))
        return _Window(
            rank,
            spread_option(self, "strides", rank),
            padding,
            spread_option(self, "kernel_dilation", rank),
            self.transpose_kernel,
            circular,
        )
