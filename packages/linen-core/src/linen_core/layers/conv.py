"""Convolutions: Conv and ConvLocal. Images have the layout (batch..., space..., features)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from linen_core.errors import (
    LayerArgumentError,
    LayerRankError,
    LayerShapeError,
    MaskShapeError,
    UnsupportedArgumentError,
)
from linen_core.layers import initializers
from linen_core.layers._common import (
    canonicalize_tuple,
    check_padding_word,
    default_kernel_init,
    where,
)
from linen_core.layers._staging import add_bias, staged
from linen_core.layers.dtypes import PromoteDtypeFn, promote_dtype
from linen_core.module import Module, compact, nowrap
from linen_core.typing import (
    Array,
    ConvGeneralDilatedT,
    Dtype,
    Initializer,
    LaxPadding,
    PaddingLike,
    PrecisionLike,
)

__all__ = [
    "Conv",
    "ConvLocal",
    "canonicalize_padding",
    "check_mask",
    "check_rank",
    "conv_dimension_numbers",
    "flatten_batch",
    "layer_padding",
    "spread_option",
]

# Paddings that `jax.lax` does not have: the image is padded by `jax.numpy.pad` first.
PAD_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect", "CAUSAL": "constant"}


def conv_dimension_numbers(input_shape: Sequence[int]) -> lax.ConvDimensionNumbers:
    """Return the dimension numbers of `jax.lax` for images and kernels whose features are the last axis."""
    ndim = len(input_shape)
    image = (0, ndim - 1, *range(1, ndim - 1))
    kernel = (ndim - 1, ndim - 2, *range(ndim - 2))
    return lax.ConvDimensionNumbers(image, kernel, image)


def canonicalize_padding(padding: PaddingLike, rank: int) -> LaxPadding:
    """Convert a padding to the form of `jax.lax`: a string, or a pair (low, high) for each of `rank` axes.

    Args:
      padding: a string, a number for all sides, or a number or a pair for each axis.
      rank: number of spatial axes.

    Raises:
      LayerArgumentError: the padding has another form.

    >>> canonicalize_padding((1, (0, 2)), rank=2)
    [(1, 1), (0, 2)]
    """
    parsed = _parse_padding(padding, rank)
    if parsed is None:
        name = "a convolution"
        raise _padding_error(name, padding, rank)
    return parsed


def layer_padding(layer: Any, rank: int, words: Iterable[str]) -> LaxPadding:
    """Convert the padding of a layer to the form of `jax.lax`, or raise an error that names the layer.

    Args:
      layer: the layer.
      rank: number of spatial axes.
      words: strings that the layer supports in addition to those of `jax.lax`.
    """
    check_padding_word(where(layer), layer.padding, words)
    parsed = _parse_padding(layer.padding, rank)
    if parsed is None:
        raise _padding_error(where(layer), layer.padding, rank)
    return parsed


def _parse_padding(padding: PaddingLike, rank: int) -> LaxPadding | None:
    if isinstance(padding, str):
        return padding
    if isinstance(padding, int):
        return [(padding, padding)] * rank
    if isinstance(padding, Sequence) and len(padding) == rank:
        pairs: list[Any] = [(item, item) if isinstance(item, int) else item for item in padding]
        if all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
            return pairs
    return None


def _padding_error(name: str, padding: object, rank: int) -> LayerArgumentError:
    return LayerArgumentError(
        name,
        "padding",
        repr(padding),
        f"a string, an integer, or {rank} items that are each an integer or a tuple (low, high)",
    )


class Window(NamedTuple):
    """The geometry of a convolution: hashable, because it is a static argument of the staged function.

    Attributes:
      size: size of the kernel.
      strides: step between two windows.
      padding: padding by `jax.lax`, added after `pads`.
      pads: a pair (low, high) for each axis, padded by `jax.numpy.pad` for the modes that `jax.lax` lacks; empty for
        none.
      mode: the mode of `jax.numpy.pad`.
      input_dilation: step between two pixels of the image.
      kernel_dilation: step between two pixels of the kernel.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Any
    pads: tuple[tuple[int, int], ...]
    mode: str
    input_dilation: tuple[int, ...]
    kernel_dilation: tuple[int, ...]


def spread(x: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Return a number for each of `rank` axes; None means 1, and a single number is used for all axes."""
    if x is None:
        x = 1
    return (x,) * rank if isinstance(x, int) else tuple(x)


def spread_option(layer: Any, name: str, rank: int) -> tuple[int, ...]:
    """Like `spread` for a field of a layer, or raise an error that names the layer."""
    numbers = spread(getattr(layer, name), rank)
    if len(numbers) != rank:
        expected = f"one number, or {rank}, as many as `kernel_size` has"
        raise LayerShapeError(where(layer), name, numbers, expected)
    return numbers


def flatten_batch(inputs: Array, rank: int) -> Array:
    """Reshape the axes before `rank` spatial axes and the features to one batch axis."""
    lead = inputs.ndim - (rank + 1)
    return inputs if lead == 1 else jnp.reshape(inputs, (-1, *inputs.shape[lead:]))


def check_rank(layer: Module, inputs: Array, rank: int) -> None:
    """Check that the input has `rank` spatial axes and an axis of features."""
    if jnp.ndim(inputs) < rank + 1:
        raise LayerRankError(
            where(layer),
            "inputs",
            f"an array of shape {jnp.shape(inputs)}",
            f"one of shape (batch..., space..., features) with {rank} spatial axes",
            "Add the missing axes, or give `kernel_size` one number for each spatial axis.",
        )


def check_mask(layer: Module, mask: Array, kernel_shape: tuple[int, ...]) -> None:
    """Check that a mask has the shape of the kernel."""
    if mask.shape != kernel_shape:
        raise MaskShapeError(
            where(layer), "mask", f"of shape {mask.shape}", f"the kernel's shape {kernel_shape}"
        )


def _convolve(
    inputs: Array,
    kernel: Array,
    bias: Array | None,
    mask: Array | None,
    window: Window,
    groups: int,
    dtype: Dtype | None,
    precision: PrecisionLike,
    shared: bool,
    promote: PromoteDtypeFn = promote_dtype,
    conv_general_dilated: ConvGeneralDilatedT = lax.conv_general_dilated,
) -> Array:
    rank = len(window.size)
    batch = inputs.shape[: inputs.ndim - (rank + 1)]
    inputs = _pad(flatten_batch(inputs, rank), window)
    if mask is not None:
        kernel = kernel * mask
    inputs, kernel, bias = promote(inputs, kernel, bias, dtype=dtype)
    options: dict[str, Any] = {
        "lhs_dilation": window.input_dilation,
        "rhs_dilation": window.kernel_dilation,
        "dimension_numbers": conv_dimension_numbers(inputs.shape),
        "precision": precision,
    }
    if shared:
        options["feature_group_count"] = groups
        y = conv_general_dilated(inputs, kernel, window.strides, window.padding, **options)
    else:
        y = lax.conv_general_dilated_local(
            inputs, kernel, window.strides, window.padding, filter_shape=window.size, **options
        )
    if bias is not None:
        y = add_bias(y, bias, (1,) * (y.ndim - bias.ndim) + bias.shape)
    return y if len(batch) == 1 else jnp.reshape(y, batch + y.shape[1:])


_convolve_staged = staged("window", "groups", "dtype", "precision", "shared")(_convolve)


def _pad(inputs: Array, window: Window) -> Array:
    if not window.pads:
        return inputs
    return jnp.pad(inputs, ((0, 0), *window.pads, (0, 0)), mode=window.mode)


class _Conv(Module):
    """Base of Conv and ConvLocal: the fields and the computation."""

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] | None = 1
    padding: PaddingLike = "SAME"
    input_dilation: int | Sequence[int] | None = 1
    kernel_dilation: int | Sequence[int] | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    mask: Array | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = initializers.zeros_init()
    promote_dtype: PromoteDtypeFn = promote_dtype
    conv_general_dilated: ConvGeneralDilatedT | None = None
    conv_general_dilated_cls: Any = None

    @property
    def shared_weights(self) -> bool:
        """True if all pixels share one kernel."""
        raise NotImplementedError

    @compact
    def __call__(self, inputs: Array) -> Array:
        """Apply the convolution.

        Args:
          inputs: an array of shape (batch..., space..., features), with zero or more batch axes.

        Returns:
          An array of shape (batch..., space..., features).

        Raises:
          LayerRankError: the input has too few axes.
          LayerShapeError: the number of features is not a multiple of the number of groups, or the number of strides
            or dilations differs from that of the kernel's axes.
          LayerArgumentError: the shape of the mask differs from the kernel's, or the padding is invalid.
        """
        window = self._window()
        check_rank(self, inputs, len(window.size))
        convolution = self.conv_general_dilated
        if self.conv_general_dilated_cls is not None:
            convolution = self.conv_general_dilated_cls()
        kernel_shape, bias_shape = self._shapes(inputs, window, convolution)
        if self.mask is not None:
            check_mask(self, self.mask, kernel_shape)
        kernel = self.param("kernel", self.kernel_init, kernel_shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, bias_shape, self.param_dtype)
        args = (inputs, kernel, bias, self.mask, window, self.feature_group_count)
        options = (self.dtype, self.precision, self.shared_weights)
        if self.promote_dtype is not promote_dtype or convolution is not None:
            convolution = convolution or lax.conv_general_dilated
            return _convolve(*args, *options, self.promote_dtype, convolution)
        return _convolve_staged(*args, *options)

    @nowrap
    def _window(self) -> Window:
        size = canonicalize_tuple(self.kernel_size)
        rank = len(size)
        groups = self.feature_group_count
        if groups != 1 and not self.shared_weights:
            raise UnsupportedArgumentError(
                where(self), "feature_group_count", groups, "1, as each pixel has its own kernel"
            )
        strides, dilation, input_dilation = (
            spread_option(self, name, rank)
            for name in ("strides", "kernel_dilation", "input_dilation")
        )
        padding: Any = layer_padding(self, rank, PAD_MODES)
        pads: tuple[tuple[int, int], ...] = ()
        mode = PAD_MODES.get(padding, "") if isinstance(padding, str) else ""
        if padding == "CAUSAL":
            if rank != 1:
                raise LayerArgumentError(
                    where(self), "padding", "'CAUSAL'", f"another one for {rank} spatial axes"
                )
            pads = ((dilation[0] * (size[0] - 1), 0),)
        elif mode:
            reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
            pads = tuple(((r - 1) // 2, r // 2) for r in reach)
        if mode:
            padding = "VALID"
        elif not isinstance(padding, str):
            padding = tuple(map(tuple, padding))
        return Window(size, strides, padding, pads, mode, input_dilation, dilation)

    @nowrap
    def _shapes(
        self, inputs: Array, window: Window, convolution: ConvGeneralDilatedT | None
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of kernel and bias."""
        in_features, groups = inputs.shape[-1], self.feature_group_count
        if self.shared_weights:
            for name, count in (("inputs", in_features), ("features", self.features)):
                if count % groups:
                    raise LayerShapeError(
                        where(self),
                        name,
                        f"{count} features",
                        f"a multiple of `feature_group_count`, which is {groups}",
                    )
            return (*window.size, in_features // groups, self.features), (self.features,)
        pixels = _output_space(
            tuple(inputs.shape), window, self.features, convolution or lax.conv_general_dilated
        )
        column = math.prod(window.size) * in_features
        return (*pixels, column, self.features), (*pixels, self.features)


def _output_space(
    shape: tuple[int, ...], window: Window, features: int, convolution: ConvGeneralDilatedT
) -> tuple[int, ...]:
    """Return the spatial shape of the output of a convolution."""

    def convolve(inputs: Array, kernel: Array) -> Array:
        inputs = _pad(flatten_batch(inputs, len(window.size)), window)
        result: Array = convolution(
            lhs=inputs,
            rhs=kernel,
            window_strides=window.strides,
            padding=window.padding,
            dimension_numbers=conv_dimension_numbers(inputs.shape),
            lhs_dilation=window.input_dilation,
            rhs_dilation=window.kernel_dilation,
        )
        return result

    # Traced instead of calculated: a replacement for the convolution may return another shape.
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    kernel = jax.ShapeDtypeStruct((*window.size, shape[-1], features), jnp.float32)
    output = jax.eval_shape(convolve, image, kernel).shape
    return tuple(output[1:-1])


class Conv(_Conv):
    """Convolution: all pixels share one kernel.

    The parameters are `kernel`, of shape (window..., input features / groups, features), and
    `bias`, of shape (features,). The computation is that of `jax.lax.conv_general_dilated`.

    Attributes:
      features: number of output features.
      kernel_size: size of the window along each spatial axis; an integer means one spatial axis.
      strides: step between two windows, one number or a number for each axis.
      padding: "SAME", "VALID", "CIRCULAR" (the image repeats), "REFLECT" (the image is mirrored), "CAUSAL"
        (a single axis, padded at its start), a number for all sides, or a number or a pair (low, high) for
        each axis.
      input_dilation: step between two pixels of the image.
      kernel_dilation: step between two pixels of the window.
      feature_group_count: number of groups of features, each with a separate kernel.
      use_bias: whether to add a bias.
      mask: an array of the kernel's shape; the kernel is multiplied by it.
      dtype: dtype to compute in; by default the promoted dtype of input and parameters.
      param_dtype: dtype of the parameters.
      precision: precision of the product, see `jax.lax.Precision`.
      kernel_init: initializer of the kernel.
      bias_init: initializer of the bias.
      promote_dtype: function that casts (inputs, kernel, bias) to one dtype.
      conv_general_dilated: replacement for `jax.lax.conv_general_dilated`.
      conv_general_dilated_cls: class of such a replacement, created without arguments. It takes precedence over
        `conv_general_dilated`.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.Conv(features=4, kernel_size=(3, 3), strides=2)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (1, 4, 4, 4) {'params': {'bias': (4,), 'kernel': (3, 3, 3, 4)}}
    """

    @property
    def shared_weights(self) -> bool:
        """True: all pixels share one kernel."""
        return True


class ConvLocal(_Conv):
    """Locally connected layer: each output pixel has a separate kernel.

    The parameters are `kernel`, of shape (space..., window * input features, features), and `bias`,
    of shape (space..., features), where space is the spatial shape of the output. The computation is that of
    `jax.lax.conv_general_dilated_local`.

    The fields are those of `Conv`. `feature_group_count` must be 1. A replacement for
    `jax.lax.conv_general_dilated` is used only to compute the shape of the output.

    >>> import jax, jax.numpy as jnp, linen_core as nn
    >>> layer = nn.ConvLocal(features=4, kernel_size=(3,), padding="VALID")
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((1, 8, 3)))
    >>> print(y.shape, jax.tree.map(jnp.shape, variables))
    (1, 6, 4) {'params': {'bias': (6, 4), 'kernel': (6, 9, 4)}}
    """

    @property
    def shared_weights(self) -> bool:
        """False: each output pixel has a separate kernel."""
        return False
