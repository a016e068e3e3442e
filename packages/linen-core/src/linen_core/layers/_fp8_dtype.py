"""A dtype for the scales and histories of 8-bit floating point.

The backward pass returns the new scales and histories in place of gradients. If a layer is called several times, or in
a loop, JAX adds its gradients. A sum of scales has no meaning: the largest is needed. This dtype therefore defines the
addition of two float32 numbers as their maximum.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from linen_core._jax_compat import ExtendedDType, wrap_physical_arrays
from linen_core.typing import Array, Dtype, Shape

__all__ = ["fm32", "fp32_max_grad", "to_float32"]


class _MaxRules:
    """The rules that JAX requires of an extended dtype."""

    @staticmethod
    def physical_element_aval(dtype: _MaxFloat) -> Any:
        return jax.core.ShapedArray((), dtype.float_dtype)

    @staticmethod
    def convert_from(max_dtype: _MaxFloat, other: Dtype) -> bool:
        return bool(max_dtype.float_dtype == other)

    @staticmethod
    def convert_to(other: Dtype, max_dtype: _MaxFloat) -> bool:
        return bool(max_dtype.float_dtype == other)

    @staticmethod
    def add(dtype: _MaxFloat, x: Array, y: Array) -> Any:
        numbers = (lax.convert_element_type(value, dtype.float_dtype) for value in (x, y))
        return lax.convert_element_type(lax.max(*numbers), dtype)

    @staticmethod
    def zero(dtype: _MaxFloat) -> Any:
        # The neutral element of the maximum.
        return lax.convert_element_type(np.array(-np.inf, dtype.float_dtype), dtype)

    @staticmethod
    def tangent_dtype(dtype: _MaxFloat) -> Any:
        return dtype

    @staticmethod
    def full(shape: Shape, fill_value: ArrayLike, dtype: _MaxFloat) -> Any:
        number = lax.convert_element_type(fill_value, dtype.float_dtype)
        return lax.convert_element_type(lax.full(shape, number, dtype.float_dtype), dtype)

    @staticmethod
    def global_sharded_result_handler(
        aval: jax.core.ShapedArray, out_sharding: jax.sharding.Sharding, committed: bool
    ) -> Any:
        return wrap_physical_arrays(aval, out_sharding, committed)


class _max_float(jax.dtypes.extended):  # noqa: N801 (a dtype's kind, as `jax.dtypes` names them)
    """The abstract supertype of the dtype, for `jax.dtypes.issubdtype`."""


@dataclasses.dataclass(frozen=True)
class _MaxFloat(ExtendedDType):
    """The dtype, based on a floating-point dtype."""

    float_dtype: Any
    _rules: type = _MaxRules
    type: type = _max_float

    def __repr__(self) -> str:
        return f"fp8_meta{8 * np.dtype(self.float_dtype).itemsize}"

    @property
    def name(self) -> str:
        return repr(self)


fm32 = _MaxFloat(jnp.float32)
fp32_max_grad = fm32


def to_float32(value: Array) -> Any:
    """Convert a value of dtype `fm32` to float32; return any other value unchanged."""
    return lax.convert_element_type(value, jnp.float32) if value.dtype == fm32 else value
