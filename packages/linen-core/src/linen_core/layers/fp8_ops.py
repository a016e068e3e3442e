"""Products in 8-bit floating point: replacements for `jax.lax.dot_general` and `jax.numpy.einsum`.

Operands are divided by a scale that brings their largest element into the range of 8 bits. The scale
follows the largest elements of the last steps. Scales and histories are in the collection
`_overwrite_with_gradient`: the backward pass returns their new values in place of gradients, and the
training step overwrites the old values with them. The scheme is that of NVIDIA's Transformer Engine,
https://docs.nvidia.com/deeplearning/transformer-engine/user-guide/examples/fp8_primer.html.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import jax.numpy as jnp
from jax import lax, random

from linen_core.errors import LayerArgumentError
from linen_core.layers import initializers
from linen_core.layers._common import where
from linen_core.layers._fp8_dtype import fm32, fp32_max_grad
from linen_core.layers._fp8_products import (
    dot_general_with_precision,
    fp8_scaled_dot_general,
    in_q,
    in_qdq,
    out_dq,
    out_qdq,
    quantized_dot,
)
from linen_core.layers._fp8_scaling import (
    compute_amax_history,
    compute_scale,
    dequantize,
    get_fp8_max,
    qdq,
    quantize,
    quantize_dequantize_update,
    update_fp8_meta,
)
from linen_core.module import Module, nowrap
from linen_core.typing import OVERWRITE_WITH_GRADIENT, Array, Dtype, Initializer

__all__ = [
    "OVERWRITE_WITH_GRADIENT",
    "Fp8DirectDotGeneralOp",
    "Fp8DotGeneral",
    "Fp8DotGeneralBase",
    "Fp8DotGeneralOp",
    "Fp8Einsum",
    "NANOOFp8DotGeneralOp",
    "compute_amax_history",
    "compute_scale",
    "dequantize",
    "dot_general_with_precision",
    "fm32",
    "fp8_scaled_dot_general",
    "fp32_max_grad",
    "get_fp8_max",
    "in_q",
    "in_qdq",
    "out_dq",
    "out_qdq",
    "qdq",
    "quantize",
    "quantize_dequantize_update",
    "quantized_dot",
    "update_fp8_meta",
]


class Fp8DotGeneralBase(Module):
    """Base of the products in 8 bits, with their scales and histories.

    Attributes:
      amax_history_length: number of steps in the history of the largest elements.
      e4m3_dtype: dtype of the operands.
      e5m2_dtype: dtype of the gradients.

    >>> import jax, linen_core as nn
    >>> layer = nn.Fp8DirectDotGeneralOp(amax_history_length=16)
    >>> dims = (((1,), (0,)), ((), ()))
    >>> variables = layer.init(jax.random.key(0), jnp.ones((2, 3)), jnp.ones((3, 4)), dims)
    >>> sorted(variables["_overwrite_with_gradient"])[:2]
    ['input_amax_history', 'input_scale']
    """

    amax_history_length: int = 1024
    e4m3_dtype: Any = jnp.float8_e4m3fn
    e5m2_dtype: Any = jnp.float8_e5m2

    def setup(self) -> None:
        """Create or read scales and histories."""
        size, zeros, ones = self.amax_history_length, initializers.zeros, initializers.ones
        self.input_amax_history = self._state_of("input_amax_history", zeros, size)
        self.kernel_amax_history = self._state_of("kernel_amax_history", zeros, size)
        self.output_grad_amax_history = self._state_of("output_grad_amax_history", zeros, size)
        self.input_scale = self._state_of("input_scale", ones, 1)
        self.kernel_scale = self._state_of("kernel_scale", ones, 1)
        self.output_grad_scale = self._state_of("output_grad_scale", ones, 1)

    @nowrap
    def _state_of(self, name: str, init: Initializer, size: int) -> Any:
        # The initializers are constants: a key from a stream would change the keys of all later parameters.
        return self.variable(
            OVERWRITE_WITH_GRADIENT, name, init, random.PRNGKey(0), (size,), jnp.float32
        )

    @nowrap
    def _scaled_dot_general(self, compute_dtype: Dtype) -> Any:
        """Return the product function with the scales and histories of this layer."""
        dtypes = [jnp.dtype(dtype) for dtype in (self.e4m3_dtype, self.e5m2_dtype)]
        if dtypes != [jnp.float8_e4m3fn, jnp.float8_e5m2]:
            msg = (
                f"{where(self)} multiplies in float8_e4m3fn and float8_e5m2, and ignores its fields e4m3_dtype and "
                "e5m2_dtype. Leave them out, or use NANOOFp8DotGeneralOp, which rounds to other 8-bit dtypes."
            )
            warnings.warn(msg, RuntimeWarning, stacklevel=3)
        return functools.partial(
            fp8_scaled_dot_general,
            lhs_scale=self.input_scale.value,
            rhs_scale=self.kernel_scale.value,
            grad_scale=self.output_grad_scale.value,
            lhs_amax_history=self.input_amax_history.value,
            rhs_amax_history=self.kernel_amax_history.value,
            grad_amax_history=self.output_grad_amax_history.value,
            quantize_compute_type=compute_dtype,
        )


def _operands(
    layer: Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Array, Array, Any]:
    """Return the operands of `jax.lax.dot_general`, with the input cast to the dtype of the kernel."""
    if kwargs.get("precision") not in (None, "default", lax.Precision.DEFAULT):
        msg = (
            f"{where(layer)} sets its own precision, and ignores {kwargs['precision']!r}. Leave `precision` out of the "
            "layer that uses it."
        )
        warnings.warn(msg, RuntimeWarning, stacklevel=3)
    if len(args) != 3:
        raise LayerArgumentError(
            where(layer),
            "args",
            f"{len(args)} positional arguments",
            "three: input, kernel and dimension numbers",
        )
    x, kernel, dimension_numbers = args
    return jnp.asarray(x, kernel.dtype), kernel, dimension_numbers


class Fp8DotGeneralOp(Fp8DotGeneralBase):
    """Replacement for `jax.lax.dot_general` that rounds operands and gradient to 8 bits.

    Deprecated: `Fp8DirectDotGeneralOp` and `Fp8Einsum` multiply in 8 bits.

    Attributes:
      amax_history_length: number of steps in the history of the largest elements.
      e4m3_dtype: dtype of the operands.
      e5m2_dtype: dtype of the gradients.

    >>> import linen_core as nn
    >>> nn.NANOOFp8DotGeneralOp.__mro__[1].__name__
    'Fp8DotGeneralOp'
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self) is Fp8DotGeneralOp:
            msg = "Fp8DotGeneralOp is deprecated: use Fp8DirectDotGeneralOp or Fp8Einsum."
            warnings.warn(msg, DeprecationWarning, stacklevel=2)

    def __call__(self, *args: object, **kwargs: object) -> Array:
        """Multiply.

        Args:
          *args: input, kernel and dimension numbers, as for `jax.lax.dot_general`.
          **kwargs: further arguments of `jax.lax.dot_general`; ignored. A precision raises a RuntimeWarning.

        Returns:
          The product, in the dtype of the kernel.

        Raises:
          LayerArgumentError: the number of positional arguments is not three.
        """
        x, kernel, dimension_numbers = _operands(self, args, kwargs)
        dtype = kernel.dtype
        x = in_qdq(dtype, self.e4m3_dtype, x, self.input_scale.value, self.input_amax_history.value)
        kernel = in_qdq(
            dtype, self.e4m3_dtype, kernel, self.kernel_scale.value, self.kernel_amax_history.value
        )
        return out_qdq(
            dtype,
            self.e5m2_dtype,
            dot_general_with_precision(x, kernel, dimension_numbers),
            self.output_grad_scale.value,
            self.output_grad_amax_history.value,
        )


class Fp8DirectDotGeneralOp(Fp8DotGeneralBase):
    """Replacement for `jax.lax.dot_general` that multiplies in 8 bits, in the forward and the backward pass.

    Attributes:
      amax_history_length: number of steps in the history of the largest elements.
      e4m3_dtype: ignored: operands are float8_e4m3fn. Another dtype raises a RuntimeWarning.
      e5m2_dtype: ignored: gradients are float8_e5m2.

    >>> import jax, linen_core as nn
    >>> layer = nn.Dense(4, dot_general_cls=nn.Fp8DirectDotGeneralOp)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 3)))
    >>> print(y.shape, sorted(variables))
    (2, 4) ['_overwrite_with_gradient', 'params']
    """

    def __call__(self, *args: object, **kwargs: object) -> Array:
        """Multiply.

        Args:
          *args: input, kernel and dimension numbers, as for `jax.lax.dot_general`.
          **kwargs: further arguments of `jax.lax.dot_general`; ignored. A precision raises a RuntimeWarning.

        Returns:
          The product, in the dtype of the kernel.

        Raises:
          LayerArgumentError: the number of positional arguments is not three.
        """
        x, kernel, dimension_numbers = _operands(self, args, kwargs)
        dot_general = self._scaled_dot_general(kernel.dtype)
        product: Array = dot_general(
            x, kernel, dimension_numbers, precision=None, preferred_element_type=x.dtype
        )
        return product


class NANOOFp8DotGeneralOp(Fp8DotGeneralOp):
    """`Fp8DotGeneralOp` for hardware whose 8-bit dtypes have one nan and no negative zero.

    Attributes:
      amax_history_length: number of steps in the history of the largest elements.
      e4m3_dtype: dtype of the operands.
      e5m2_dtype: dtype of the gradients.

    >>> import jax, linen_core as nn
    >>> layer = nn.Dense(4, dot_general_cls=nn.NANOOFp8DotGeneralOp)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 3)))
    >>> y.shape
    (2, 4)
    """

    e4m3_dtype: Any = jnp.float8_e4m3fnuz
    e5m2_dtype: Any = jnp.float8_e5m2fnuz


class Fp8Einsum(Fp8DotGeneralBase):
    """Replacement for `jax.numpy.einsum` that multiplies in 8 bits, in the forward and the backward pass.

    Attributes:
      amax_history_length: number of steps in the history of the largest elements.
      e4m3_dtype: ignored: operands are float8_e4m3fn. Another dtype raises a RuntimeWarning.
      e5m2_dtype: ignored: gradients are float8_e5m2.

    >>> import jax, linen_core as nn
    >>> layer, x, w = nn.Fp8Einsum(), jnp.ones((2, 3)), jnp.ones((3, 4))
    >>> y, variables = layer.init_with_output(jax.random.key(0), "ab,bc->ac", x, w)
    >>> print(y[0])
    [3. 3. 3. 3.]
    """

    def __call__(
        self,
        eqn: str,
        lhs: Array,
        rhs: Array,
        precision: lax.Precision | None = None,
        preferred_element_type: Dtype | None = None,
    ) -> Array:
        """Multiply.

        Args:
          eqn: the equation, with two operands.
          lhs: the input.
          rhs: the kernel, in the dtype to compute in.
          precision: must be None.
          preferred_element_type: dtype of the result.

        Returns:
          The result of the equation.
        """
        return jnp.einsum(
            eqn,
            lhs.astype(rhs.dtype),
            rhs,
            precision=precision,
            preferred_element_type=preferred_element_type,
            _dot_general=self._scaled_dot_general(rhs.dtype),
        )


Fp8DotGeneral = Fp8DirectDotGeneralOp
