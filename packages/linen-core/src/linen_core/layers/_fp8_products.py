"""Products in 8-bit floating point, with custom derivatives.

The derivatives are custom for two reasons. A cast to 8 bits has a gradient of zero almost everywhere, so the gradient
passes through it unchanged. And the "gradients" of scales and histories are their new values, which is the only way for
the backward pass to update variables.
"""
# ruff: noqa: ARG001 (a derivative rule takes the same arguments as its function)

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_core.layers._fp8_dtype import to_float32
from linen_core.layers._fp8_scaling import (
    dequantize,
    quantize,
    quantize_dequantize_update,
    update_fp8_meta,
)
from linen_core.typing import Array, DotDimensionNumbers, Dtype, PrecisionLike

__all__ = [
    "dot_general_with_precision",
    "fp8_scaled_dot_general",
    "in_q",
    "in_qdq",
    "out_dq",
    "out_qdq",
    "quantized_dot",
]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_qdq(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> Array:
    """Round an operand to the numbers of an 8-bit dtype; its gradient passes through unchanged.

    The gradients of `scale` and `amax_history` are their new values.

    >>> print(in_qdq(jnp.float32, jnp.float8_e4m3fn, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2)))
    [1.]
    """
    return quantize_dequantize_update(inp, q_dtype, scale, amax_history, compute_dtype)[0]


def _in_qdq_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, tuple[Array, Array]]:
    rounded, new_scale, new_history = quantize_dequantize_update(
        inp, q_dtype, scale, amax_history, compute_dtype
    )
    return rounded, (new_scale, new_history)


def _in_qdq_bwd(
    compute_dtype: Dtype, q_dtype: Dtype, res: tuple[Array, Array], g: Array
) -> tuple[Any, ...]:
    return g, *res


in_qdq.defvjp(_in_qdq_fwd, _in_qdq_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def out_qdq(
    compute_dtype: Dtype, q_dtype: Dtype, out: Array, scale: Array, amax_history: Array
) -> Array:
    """Return a result unchanged, and round its gradient to the numbers of an 8-bit dtype.

    The gradients of `scale` and `amax_history` are their new values.

    >>> print(out_qdq(jnp.float32, jnp.float8_e5m2, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2)))
    [1.01]
    """
    return out


def _out_qdq_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, out: Array, scale: Array, amax_history: Array
) -> tuple[Array, tuple[Array, Array]]:
    return out, (scale, amax_history)


def _out_qdq_bwd(
    compute_dtype: Dtype, q_dtype: Dtype, res: tuple[Array, Array], g: Array
) -> tuple[Any, ...]:
    scale, amax_history = res
    return quantize_dequantize_update(g, q_dtype, scale, amax_history, compute_dtype)


out_qdq.defvjp(_out_qdq_fwd, _out_qdq_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_q(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, Array]:
    """Quantize an operand.

    The operand has no gradient here; `quantized_dot` returns it. The gradients of `scale` and `amax_history` are their
    new values.

    Returns:
      The operand in 8 bits, and the new scale.

    >>> q, scale = in_q(jnp.float32, jnp.float8_e4m3fn, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2))
    >>> print(q, scale)
    [1] [1.]
    """
    return _in_q_fwd(compute_dtype, q_dtype, inp, scale, amax_history)[0]


def _in_q_fwd(
    compute_dtype: Dtype, q_dtype: Dtype, inp: Array, scale: Array, amax_history: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    new_scale, new_history = update_fp8_meta(inp, q_dtype, scale, amax_history)
    quantized = quantize(inp, q_dtype, to_float32(new_scale), compute_dtype)
    return (quantized, new_scale), (new_scale, new_history)


def _in_q_bwd(
    compute_dtype: Dtype, q_dtype: Dtype, res: tuple[Array, Array], g: object
) -> tuple[Any, ...]:
    return None, *res


in_q.defvjp(_in_q_fwd, _in_q_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def out_dq(dq_type: Dtype, lhs_scale: Array, rhs_scale: Array, out: Array) -> Array:
    """Dequantize a product of two quantized operands; its gradient passes through unchanged.

    >>> print(out_dq(jnp.float32, jnp.full(1, 2.0), jnp.full(1, 3.0), jnp.ones(1)))
    [6.]
    """
    return dequantize(out, dq_type, to_float32(lhs_scale) * to_float32(rhs_scale))


def _out_dq_fwd(
    dq_type: Dtype, lhs_scale: Array, rhs_scale: Array, out: Array
) -> tuple[Array, None]:
    return out_dq(dq_type, lhs_scale, rhs_scale, out), None


def _out_dq_bwd(dq_type: Dtype, res: None, g: Array) -> tuple[None, None, Array]:
    return None, None, g


out_dq.defvjp(_out_dq_fwd, _out_dq_bwd)


def _operand_gradient(
    g: Array,
    other: Array,
    ndim: int,
    contract: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]],
    is_left: bool,
    preferred_element_type: Dtype | None,
) -> Array:
    """Compute the gradient of one operand of a product: the gradient of the product times the other operand.

    Args:
      g: gradient of the product. Its axes are the batch axes, the free axes of the left operand, and those of the right
        operand.
      other: the other operand.
      ndim: number of axes of the operand.
      contract: contracted axes of the operand, and the corresponding ones of the other operand.
      batch: batch axes of the operand and of the other operand.
      is_left: whether the operand is the left one.
      preferred_element_type: dtype of the gradient.
    """
    free = [axis for axis in range(ndim) if axis not in {*contract[0], *batch[0]}]
    other_free = [axis for axis in range(other.ndim) if axis not in {*contract[1], *batch[1]}]
    first = len(batch[0]) + (len(free) if is_left else 0)
    in_g = range(first, first + len(other_free))
    dims = ((tuple(in_g), tuple(other_free)), (tuple(range(len(batch[0]))), tuple(batch[1])))
    product = lax.dot_general(
        g,
        other,
        dims,
        precision=lax.Precision.HIGHEST,
        preferred_element_type=preferred_element_type,
    )
    # The last axes of the product are the contracted ones, in the order of the other operand.
    contracted = [axis for _, axis in sorted(zip(contract[1], contract[0], strict=True))]
    return lax.transpose(product, tuple(np.argsort([*batch[0], *free, *contracted])))


@functools.partial(jax.custom_vjp, nondiff_argnums=(8, 9))
def quantized_dot(
    lhs: Array,
    q_lhs: Array,
    lhs_scale: Array,
    rhs: Array,
    q_rhs: Array,
    rhs_scale: Array,
    out_grad_scale: Array,
    out_grad_amax_history: Array,
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: Dtype | None = None,
) -> Array:
    """Multiply two quantized operands; the backward pass multiplies a quantized gradient.

    Args:
      lhs: the left operand before quantization. Its value is not used, but it receives the gradient.
      q_lhs: the left operand in 8 bits.
      lhs_scale: the scale of the left operand.
      rhs: the right operand before quantization; see `lhs`.
      q_rhs: the right operand in 8 bits.
      rhs_scale: the scale of the right operand.
      out_grad_scale: the last scale of the gradient; its gradient is its new value.
      out_grad_amax_history: the history of the gradient; its gradient is its new value.
      dimension_numbers: as for `jax.lax.dot_general`.
      preferred_element_type: as for `jax.lax.dot_general`.

    Returns:
      The product without the scales, see `out_dq`.
    """
    return lax.dot_general(
        q_lhs,
        q_rhs,
        dimension_numbers,
        preferred_element_type=preferred_element_type,
        precision=lax.Precision.DEFAULT,
    )


def _quantized_dot_fwd(*args: Any) -> tuple[Array, tuple[Array, ...]]:
    _, q_lhs, lhs_scale, _, q_rhs, rhs_scale, grad_scale, grad_history, *_ = args
    return quantized_dot(*args), (q_lhs, lhs_scale, q_rhs, rhs_scale, grad_scale, grad_history)


def _quantized_dot_bwd(
    dimension_numbers: DotDimensionNumbers,
    preferred_element_type: Dtype | None,
    res: tuple[Array, ...],
    g: Array,
) -> tuple[Any, ...]:
    q_lhs, lhs_scale, q_rhs, rhs_scale, scale, history = res
    new_scale, new_history = update_fp8_meta(g, jnp.float8_e5m2, scale, history)
    g_scale = to_float32(new_scale)
    q_g = quantize(g, jnp.float8_e5m2, g_scale, preferred_element_type)
    contract, batch = dimension_numbers
    grad_lhs = _operand_gradient(
        q_g, q_rhs, q_lhs.ndim, contract, batch, True, preferred_element_type
    )
    grad_rhs = _operand_gradient(
        q_g, q_lhs, q_rhs.ndim, contract[::-1], batch[::-1], False, preferred_element_type
    )
    grad_lhs = dequantize(grad_lhs, preferred_element_type, to_float32(rhs_scale) * g_scale)
    grad_rhs = dequantize(grad_rhs, preferred_element_type, to_float32(lhs_scale) * g_scale)
    return grad_lhs, None, None, grad_rhs, None, None, new_scale, new_history


quantized_dot.defvjp(_quantized_dot_fwd, _quantized_dot_bwd)


def fp8_scaled_dot_general(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike | None = None,
    preferred_element_type: Dtype | None = None,
    *,
    lhs_scale: Array | None = None,
    rhs_scale: Array | None = None,
    grad_scale: Array | None = None,
    lhs_amax_history: Array | None = None,
    rhs_amax_history: Array | None = None,
    grad_amax_history: Array | None = None,
    quantize_compute_type: Dtype = jnp.float32,
) -> Array:
    """Multiply two arrays in 8 bits, in the forward and the backward pass.

    Args:
      lhs: the left operand.
      rhs: the right operand.
      dimension_numbers: as for `jax.lax.dot_general`.
      precision: must be None; the function sets the precision itself.
      preferred_element_type: dtype of the result.
      lhs_scale: the last scale of the left operand, of shape (1,).
      rhs_scale: the last scale of the right operand.
      grad_scale: the last scale of the gradient.
      lhs_amax_history: the largest absolute elements of the last left operands, of shape (length,).
      rhs_amax_history: the same for the right operands.
      grad_amax_history: the same for the gradients.
      quantize_compute_type: dtype to compute in before the cast to 8 bits.

    Returns:
      The product.
    """
    if precision is not None:
        msg = "fp8_scaled_dot_general sets its own precision, and ignores the argument."
        warnings.warn(msg, stacklevel=2)
    q_lhs, new_lhs_scale = in_q(
        quantize_compute_type, jnp.float8_e4m3fn, lhs, lhs_scale, lhs_amax_history
    )
    q_rhs, new_rhs_scale = in_q(
        quantize_compute_type, jnp.float8_e4m3fn, rhs, rhs_scale, rhs_amax_history
    )
    y = quantized_dot(
        lhs,
        q_lhs,
        new_lhs_scale,
        rhs,
        q_rhs,
        new_rhs_scale,
        grad_scale,
        grad_amax_history,
        dimension_numbers,
        preferred_element_type,
    )
    return out_dq(preferred_element_type, new_lhs_scale, new_rhs_scale, y)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def dot_general_with_precision(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike | None = None,
    preferred_element_type: Dtype | None = None,
) -> Array:
    """Multiply two arrays with the lowest precision in the forward pass and the highest in the backward pass.

    Args:
      lhs: the left operand.
      rhs: the right operand.
      dimension_numbers: as for `jax.lax.dot_general`.
      precision: must be None.
      preferred_element_type: must be None.

    >>> dims = (((0,), (0,)), ((), ()))
    >>> print(dot_general_with_precision(jnp.ones(3), jnp.ones(3), dims))
    3.0
    """
    if precision is not None or preferred_element_type is not None:
        msg = (
            "dot_general_with_precision sets its own precision and preferred_element_type, "
            "and ignores the arguments."
        )
        warnings.warn(msg, stacklevel=2)
    return lax.dot_general(lhs, rhs, dimension_numbers, precision=lax.Precision.DEFAULT)


@dot_general_with_precision.defjvp
def _dot_general_with_precision_jvp(
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike,
    preferred_element_type: Dtype | None,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    exact = functools.partial(
        lax.dot_general, dimension_numbers=dimension_numbers, precision=lax.Precision.HIGHEST
    )
    (lhs, rhs), (lhs_dot, rhs_dot) = primals, tangents
    out = lax.dot_general(lhs, rhs, dimension_numbers, precision=lax.Precision.DEFAULT)
    return out, exact(lhs_dot, rhs) + exact(lhs, rhs_dot)
