"""Products in 8-bit floating point: stand-ins for `jax.lax.dot_general` and `jax.numpy.einsum`.

Operands are divided by a scale, so that their largest element fits 8 bits, and the scale follows the largest elements of
the last steps. Scales and histories live in the collection `_overwrite_with_gradient`: the backward pass hands up their new
values in place of gradients, and the training step puts these in place of the old. The scheme is that of NVIDIA's
Transformer Engine, https://docs.nvidia.com/deeplearning/transformer-engine/user-guide/examples/fp8_primer.html.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, random

from linen_core.errors import LayerArgumentError
from linen_core.layers import initializers
from linen_core.layers._fp8_dtype import fm32, fp32_max_grad, to_float32
from linen_core.layers._where import where
from linen_core.module import Module
from linen_core.typing import Array

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

OVERWRITE_WITH_GRADIENT = "_overwrite_with_gradient"

_FP8_DTYPES = tuple(
    map(
        np.dtype,
        (jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.float8_e4m3fnuz, jnp.float8_e5m2fnuz),
    )
)


def get_fp8_max(fp8_dtype: Any, out_dtype: Any) -> Any:
    """Give the largest number of an 8-bit dtype, in another dtype.

    Raises:
      LayerArgumentError: it is no 8-bit floating-point dtype.

    >>> print(get_fp8_max(jnp.float8_e4m3fn, jnp.float32))
    448.0
    """
    if np.dtype(fp8_dtype) not in _FP8_DTYPES:
        name = "get_fp8_max"
        raise LayerArgumentError(
            name, "fp8_dtype", fp8_dtype, f"one of {', '.join(d.name for d in _FP8_DTYPES)}"
        )
    return jnp.finfo(fp8_dtype).max.astype(out_dtype)


def quantize(x: Array, q_dtype: Any, scale: Array, compute_dtype: Any) -> Array:
    """Divide by a scale and cast to 8 bits, cutting off what is too large.

    Args:
      x: an array of any shape.
      q_dtype: the 8-bit dtype.
      scale: an array that broadcasts to `x`.
      compute_dtype: dtype to compute in before the cast.

    >>> print(quantize(jnp.array([1.0, 2000.0]), jnp.float8_e4m3fn, jnp.ones(1), jnp.float32))
    [1 448]
    """
    largest = get_fp8_max(q_dtype, compute_dtype)
    scaled = x / jnp.broadcast_to(scale.astype(compute_dtype), x.shape)
    return jnp.clip(scaled, -largest, largest).astype(q_dtype)


def dequantize(x: Array, dq_dtype: Any, scale: Array) -> Array:
    """Cast to a wider dtype and multiply by a scale: what `quantize` did, backwards.

    >>> print(dequantize(jnp.ones(2, jnp.float8_e4m3fn), jnp.float32, jnp.full(1, 3.0)))
    [3. 3.]
    """
    return x.astype(dq_dtype) * jnp.broadcast_to(scale.astype(dq_dtype), x.shape)


def qdq(x: Array, q_dtype: Any, scale: Array, compute_dtype: Any) -> Array:
    """Round to what 8 bits can hold, in the dtype at hand: `quantize`, then `dequantize`.

    >>> print(qdq(jnp.array([1.01]), jnp.float8_e4m3fn, jnp.ones(1), jnp.float32))
    [1.]
    """
    return dequantize(quantize(x, q_dtype, scale, compute_dtype), x.dtype, scale)


def compute_scale(amax: Array, scale: Array, fp8_max: Any, margin: int = 0) -> Array:
    """Find the scale that maps the largest element onto the largest 8-bit number.

    Args:
      amax: the largest absolute element.
      scale: the scale to keep where `amax` is 0 or not finite.
      fp8_max: the largest 8-bit number.
      margin: how many powers of two to leave free.

    >>> print(compute_scale(jnp.array([896.0]), jnp.ones(1), 448.0))
    [2.]
    """
    kept = 1.0 / scale
    factor = (fp8_max / amax) / (2**margin)
    factor = jnp.where(amax > 0.0, factor, kept)
    factor = jnp.where(jnp.isfinite(amax), factor, kept)
    return 1.0 / factor


def compute_amax_history(x: Array, amax_history: Array) -> Array:
    """Move a history of maxima on by one step, and put the largest absolute element of `x` in front.

    >>> print(compute_amax_history(jnp.array([-3.0]), jnp.array([1.0, 2.0])))
    [3. 1.]
    """
    amax = jnp.max(jnp.abs(x)).astype(amax_history.dtype)
    return jnp.roll(amax_history, shift=-1, axis=0).at[0].set(amax)


def update_fp8_meta(
    x: Array, q_dtype: Any, scale: Array, amax_history: Array
) -> tuple[Array, Array]:
    """Find the scale for `x` from the history, then put `x` into the history.

    Args:
      x: an array of any shape.
      q_dtype: the 8-bit dtype.
      scale: the last scale, of shape (1,), float32 or `fm32`.
      amax_history: the largest absolute elements of the last steps, of shape (length,).

    Returns:
      The new scale and the new history, in the dtypes of the old.

    >>> scale, history = update_fp8_meta(
    ...     jnp.array([5.0]), jnp.float8_e4m3fn, jnp.ones(1), jnp.array([448.0, 0.0]))
    >>> print(scale, history)
    [1.] [5. 448.]
    """
    as_maxima = scale.dtype == fm32 and amax_history.dtype == fm32
    if as_maxima:
        scale, amax_history = to_float32(scale), to_float32(amax_history)
    largest = get_fp8_max(q_dtype, jnp.float32)
    new_scale = compute_scale(jnp.max(amax_history, axis=0), scale, largest)
    new_history = compute_amax_history(x, amax_history)
    if as_maxima:
        new_scale = lax.convert_element_type(new_scale, fp32_max_grad)
        new_history = lax.convert_element_type(new_history, fp32_max_grad)
    return new_scale, new_history


def quantize_dequantize_update(
    x: Array, q_dtype: Any, scale: Array, amax_history: Array, compute_dtype: Any
) -> tuple[Array, Array, Array]:
    """Round to what 8 bits can hold, by the scale that the history gives.

    Returns:
      The rounded array, the new scale and the new history.

    >>> x, _, _ = quantize_dequantize_update(
    ...     jnp.array([1.01]), jnp.float8_e4m3fn, jnp.ones(1), jnp.zeros(2), jnp.float32)
    >>> print(x)
    [1.]
    """
    new_scale, new_history = update_fp8_meta(x, q_dtype, scale, amax_history)
    return qdq(x, q_dtype, to_float32(new_scale), compute_dtype), new_scale, new_history


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_qdq(
    compute_dtype: Any, q_dtype: Any, inp: Array, scale: Array, amax_history: Array
) -> Array:
    """Round an operand to what 8 bits can hold; its gradient passes through.

    The gradients of `scale` and `amax_history` are their new values.

    >>> print(in_qdq(jnp.float32, jnp.float8_e4m3fn, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2)))
    [1.]
    """
    return quantize_dequantize_update(inp, q_dtype, scale, amax_history, compute_dtype)[0]


def _in_qdq_fwd(
    compute_dtype: Any, q_dtype: Any, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, tuple[Array, Array]]:
    rounded, *updated = quantize_dequantize_update(
        inp, q_dtype, scale, amax_history, compute_dtype
    )
    return rounded, (updated[0], updated[1])


def _in_qdq_bwd(compute_dtype: Any, q_dtype: Any, res: Any, g: Array) -> tuple[Any, ...]:
    return g, *res


in_qdq.defvjp(_in_qdq_fwd, _in_qdq_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def out_qdq(
    compute_dtype: Any, q_dtype: Any, out: Array, scale: Array, amax_history: Array
) -> Array:
    """Pass a result through, and round its gradient to what 8 bits can hold.

    The gradients of `scale` and `amax_history` are their new values.

    >>> print(out_qdq(jnp.float32, jnp.float8_e5m2, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2)))
    [1.01]
    """
    return out


def _out_qdq_fwd(
    compute_dtype: Any, q_dtype: Any, out: Array, scale: Array, amax_history: Array
) -> tuple[Array, tuple[Array, Array]]:
    return out, (scale, amax_history)


def _out_qdq_bwd(compute_dtype: Any, q_dtype: Any, res: Any, g: Array) -> tuple[Any, ...]:
    return quantize_dequantize_update(g, q_dtype, *res, compute_dtype)


out_qdq.defvjp(_out_qdq_fwd, _out_qdq_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def in_q(
    compute_dtype: Any, q_dtype: Any, inp: Array, scale: Array, amax_history: Array
) -> tuple[Array, Array]:
    """Quantize an operand; it gets no gradient from here.

    The gradients of `scale` and `amax_history` are their new values.

    Returns:
      The operand in 8 bits, and the new scale.

    >>> q, scale = in_q(jnp.float32, jnp.float8_e4m3fn, jnp.array([1.01]), jnp.ones(1), jnp.zeros(2))
    >>> print(q, scale)
    [1] [1.]
    """
    return _in_q_fwd(compute_dtype, q_dtype, inp, scale, amax_history)[0]


def _in_q_fwd(
    compute_dtype: Any, q_dtype: Any, inp: Array, scale: Array, amax_history: Array
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    new_scale, new_history = update_fp8_meta(inp, q_dtype, scale, amax_history)
    quantized = quantize(inp, q_dtype, to_float32(new_scale), compute_dtype)
    return (quantized, new_scale), (new_scale, new_history)


def _in_q_bwd(compute_dtype: Any, q_dtype: Any, res: Any, g: Any) -> tuple[Any, ...]:
    return None, *res


in_q.defvjp(_in_q_fwd, _in_q_bwd)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def out_dq(dq_type: Any, lhs_scale: Array, rhs_scale: Array, out: Array) -> Array:
    """Scale back a product of two quantized operands; its gradient passes through.

    >>> print(out_dq(jnp.float32, jnp.full(1, 2.0), jnp.full(1, 3.0), jnp.ones(1)))
    [6.]
    """
    return dequantize(out, dq_type, to_float32(lhs_scale) * to_float32(rhs_scale))


def _out_dq_fwd(
    dq_type: Any, lhs_scale: Array, rhs_scale: Array, out: Array
) -> tuple[Array, None]:
    return out_dq(dq_type, lhs_scale, rhs_scale, out), None


def _out_dq_bwd(dq_type: Any, res: None, g: Array) -> tuple[None, None, Array]:
    return None, None, g


out_dq.defvjp(_out_dq_fwd, _out_dq_bwd)


def _operand_gradient(
    g: Array,
    other: Array,
    ndim: int,
    contract: tuple[Sequence[int], Sequence[int]],
    batch: tuple[Sequence[int], Sequence[int]],
    is_left: bool,
    preferred_element_type: Any,
) -> Array:
    """Give the gradient of one operand of a product, as a product of the result's gradient and the other operand.

    Args:
      g: gradient of the product, whose axes are the batch axes, the left operand's own, the right operand's own.
      other: the other operand.
      ndim: number of axes of the operand.
      contract: contracted axes of the operand and, one by one, of the other.
      batch: batch axes of the operand and of the other.
      is_left: whether the operand is the left one.
      preferred_element_type: dtype of the gradient.
    """
    own = [axis for axis in range(ndim) if axis not in {*contract[0], *batch[0]}]
    others_own = [axis for axis in range(other.ndim) if axis not in {*contract[1], *batch[1]}]
    first = len(batch[0]) + (len(own) if is_left else 0)
    in_g = range(first, first + len(others_own))
    dims = ((tuple(in_g), tuple(others_own)), (tuple(range(len(batch[0]))), tuple(batch[1])))
    product = lax.dot_general(
        g,
        other,
        dims,
        precision=lax.Precision.HIGHEST,
        preferred_element_type=preferred_element_type,
    )
    # Its last axes are the other's contracted ones, in the order in which the other has them.
    contracted = [mine for _, mine in sorted(zip(contract[1], contract[0], strict=True))]
    return lax.transpose(product, tuple(np.argsort([*batch[0], *own, *contracted])))


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
    dimension_numbers: Any,
    preferred_element_type: Any = None,
) -> Array:
    """Multiply two quantized operands, and quantize the gradient too.

    Args:
      lhs: the left operand before quantization: it gets the gradient.
      q_lhs: the left operand in 8 bits: it is multiplied.
      lhs_scale: the scale between the two.
      rhs: the right operand before quantization.
      q_rhs: the right operand in 8 bits.
      rhs_scale: the scale between the two.
      out_grad_scale: the last scale of the gradient; its gradient is its new value.
      out_grad_amax_history: the history of the gradient; its gradient is its new value.
      dimension_numbers: as for `jax.lax.dot_general`.
      preferred_element_type: as for `jax.lax.dot_general`.

    Returns:
      The product, not scaled back.
    """
    return lax.dot_general(
        q_lhs,
        q_rhs,
        dimension_numbers,
        preferred_element_type=preferred_element_type,
        precision=lax.Precision.DEFAULT,
    )


def _quantized_dot_fwd(
    lhs: Array,
    q_lhs: Array,
    lhs_scale: Array,
    rhs: Array,
    q_rhs: Array,
    rhs_scale: Array,
    out_grad_scale: Array,
    out_grad_amax_history: Array,
    dimension_numbers: Any,
    preferred_element_type: Any,
) -> tuple[Array, tuple[Array, ...]]:
    res = (q_lhs, lhs_scale, q_rhs, rhs_scale, out_grad_scale, out_grad_amax_history)
    out = quantized_dot(
        lhs,
        q_lhs,
        lhs_scale,
        rhs,
        q_rhs,
        rhs_scale,
        out_grad_scale,
        out_grad_amax_history,
        dimension_numbers,
        preferred_element_type,
    )
    return out, res


def _quantized_dot_bwd(
    dimension_numbers: Any, preferred_element_type: Any, res: tuple[Array, ...], g: Array
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
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
    *,
    lhs_scale: Any = None,
    rhs_scale: Any = None,
    grad_scale: Any = None,
    lhs_amax_history: Any = None,
    rhs_amax_history: Any = None,
    grad_amax_history: Any = None,
    quantize_compute_type: Any = jnp.float32,
) -> Array:
    """Multiply two arrays in 8 bits, forwards and backwards.

    Args:
      lhs: the left operand.
      rhs: the right operand.
      dimension_numbers: as for `jax.lax.dot_general`.
      precision: must be None: the product sets its own.
      preferred_element_type: dtype of the result.
      lhs_scale: the last scale of the left operand, of shape (1,).
      rhs_scale: the last scale of the right operand.
      grad_scale: the last scale of the gradient.
      lhs_amax_history: the largest absolute elements of the last left operands, of shape (length,).
      rhs_amax_history: those of the last right operands.
      grad_amax_history: those of the last gradients.
      quantize_compute_type: dtype to compute in before the cast to 8 bits.

    Returns:
      The product.
    """
    if precision is not None:
        msg = "fp8_scaled_dot_general sets its own precision, and ignores the one it was given."
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
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """Multiply two arrays with the lowest precision forwards and the highest backwards.

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
            "and ignores those it was given."
        )
        warnings.warn(msg, stacklevel=2)
    return lax.dot_general(lhs, rhs, dimension_numbers, precision=lax.Precision.DEFAULT)


@dot_general_with_precision.defjvp
def _dot_general_with_precision_jvp(
    dimension_numbers: Any,
    precision: Any,
    preferred_element_type: Any,
    primals: tuple[Array, Array],
    tangents: tuple[Array, Array],
) -> tuple[Array, Array]:
    exact = functools.partial(
        lax.dot_general, dimension_numbers=dimension_numbers, precision=lax.Precision.HIGHEST
    )
    (lhs, rhs), (lhs_dot, rhs_dot) = primals, tangents
    out = lax.dot_general(lhs, rhs, dimension_numbers, precision=lax.Precision.DEFAULT)
    return out, exact(lhs_dot, rhs) + exact(lhs, rhs_dot)
