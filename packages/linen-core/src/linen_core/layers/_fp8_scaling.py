"""Casts to 8-bit floating point and back, and the scales of these casts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from linen_core.errors import Fp8DtypeError
from linen_core.layers._fp8_dtype import fm32, fp32_max_grad, to_float32
from linen_core.typing import Array, Dtype

__all__ = [
    "compute_amax_history",
    "compute_scale",
    "dequantize",
    "get_fp8_max",
    "qdq",
    "quantize",
    "quantize_dequantize_update",
    "update_fp8_meta",
]

_FP8_DTYPES = (jnp.float8_e4m3fn, jnp.float8_e5m2, jnp.float8_e4m3fnuz, jnp.float8_e5m2fnuz)
_LARGEST: dict[Any, Any] = {np.dtype(dtype): jnp.finfo(dtype).max for dtype in _FP8_DTYPES}  # type: ignore[no-untyped-call]


def get_fp8_max(fp8_dtype: Dtype, out_dtype: Dtype) -> Any:
    """Return the largest number of an 8-bit dtype as a number of another dtype.

    Raises:
      Fp8DtypeError: ``fp8_dtype`` is not an 8-bit floating-point dtype.

    >>> print(get_fp8_max(jnp.float8_e4m3fn, jnp.float32))
    448.0
    """
    if np.dtype(fp8_dtype) not in _LARGEST:
        name = "get_fp8_max"
        known = ", ".join(dtype.name for dtype in _LARGEST)
        raise Fp8DtypeError(name, "fp8_dtype", fp8_dtype, f"one of {known}")
    return _LARGEST[np.dtype(fp8_dtype)].astype(out_dtype)


def quantize(x: Array, q_dtype: Dtype, scale: Array, compute_dtype: Dtype) -> Array:
    """Divide by a scale, clip to the range of an 8-bit dtype and cast.

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


def dequantize(x: Array, dq_dtype: Dtype, scale: Array) -> Array:
    """Cast to a wider dtype and multiply by a scale; the inverse of `quantize`.

    >>> print(dequantize(jnp.ones(2, jnp.float8_e4m3fn), jnp.float32, jnp.full(1, 3.0)))
    [3. 3.]
    """
    return x.astype(dq_dtype) * jnp.broadcast_to(scale.astype(dq_dtype), x.shape)


def qdq(x: Array, q_dtype: Dtype, scale: Array, compute_dtype: Dtype) -> Array:
    """Round to the numbers of an 8-bit dtype, but keep the dtype: `quantize`, then `dequantize`.

    >>> print(qdq(jnp.array([1.01]), jnp.float8_e4m3fn, jnp.ones(1), jnp.float32))
    [1.]
    """
    return dequantize(quantize(x, q_dtype, scale, compute_dtype), x.dtype, scale)


def compute_scale(amax: Array, scale: Array, fp8_max: ArrayLike, margin: int = 0) -> Array:
    """Compute the scale that maps the largest element to the largest 8-bit number.

    Args:
      amax: the largest absolute element.
      scale: the old scale, which is kept if `amax` is 0 or not finite.
      fp8_max: the largest 8-bit number.
      margin: number of powers of two to leave as headroom.

    >>> print(compute_scale(jnp.array([896.0]), jnp.ones(1), 448.0))
    [2.]
    """
    old_factor = 1.0 / scale
    factor = (fp8_max / amax) / (2**margin)
    factor = jnp.where(amax > 0.0, factor, old_factor)
    factor = jnp.where(jnp.isfinite(amax), factor, old_factor)
    return 1.0 / factor


def compute_amax_history(x: Array, amax_history: Array) -> Array:
    """Shift a history of maxima by one step, and write the largest absolute element of `x` to its front.

    >>> print(compute_amax_history(jnp.array([-3.0]), jnp.array([1.0, 2.0])))
    [3. 1.]
    """
    amax = jnp.max(jnp.abs(x)).astype(amax_history.dtype)
    return jnp.roll(amax_history, shift=-1, axis=0).at[0].set(amax)


def update_fp8_meta(
    x: Array, q_dtype: Dtype, scale: Array, amax_history: Array
) -> tuple[Array, Array]:
    """Compute the scale from the history, then add `x` to the history.

    The scale of a step depends on the steps before only. It is therefore known before `x` is computed, and needs no
    second pass over `x`.

    Args:
      x: an array of any shape.
      q_dtype: the 8-bit dtype.
      scale: the last scale, of shape (1,), float32 or `fm32`.
      amax_history: the largest absolute elements of the last steps, of shape (length,).

    Returns:
      The new scale and the new history, in the dtypes of the old ones.

    >>> scale, history = update_fp8_meta(
    ...     jnp.array([5.0]), jnp.float8_e4m3fn, jnp.ones(1), jnp.array([448.0, 0.0]))
    >>> print(scale, history)
    [1.] [  5. 448.]
    """
    is_fm32 = scale.dtype == fm32 and amax_history.dtype == fm32
    if is_fm32:
        scale, amax_history = to_float32(scale), to_float32(amax_history)
    largest = get_fp8_max(q_dtype, jnp.float32)
    new_scale = compute_scale(jnp.max(amax_history, axis=0), scale, largest)
    new_history = compute_amax_history(x, amax_history)
    if is_fm32:
        new_scale = lax.convert_element_type(new_scale, fp32_max_grad)
        new_history = lax.convert_element_type(new_history, fp32_max_grad)
    return new_scale, new_history


def quantize_dequantize_update(
    x: Array, q_dtype: Dtype, scale: Array, amax_history: Array, compute_dtype: Dtype
) -> tuple[Array, Array, Array]:
    """Round to the numbers of an 8-bit dtype with the scale that the history determines.

    Returns:
      The rounded array, the new scale and the new history.

    >>> x, _, _ = quantize_dequantize_update(
    ...     jnp.array([1.01]), jnp.float8_e4m3fn, jnp.ones(1), jnp.zeros(2), jnp.float32)
    >>> print(x)
    [1.]
    """
    new_scale, new_history = update_fp8_meta(x, q_dtype, scale, amax_history)
    return qdq(x, q_dtype, to_float32(new_scale), compute_dtype), new_scale, new_history
