"""Programs that compute any element of an array without the others. They are data: equal programs compile once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from linen_core._jax_compat import bits_at
from linen_core.typing import Array

__all__ = ["ELEMENTWISE", "Elementwise", "Program", "Step"]

# fmt: off
ELEMENTWISE = frozenset({
    "abs", "add", "and", "bitcast_convert_type", "ceil", "clamp", "convert_element_type", "copy", "copy_p", "cos",
    "div", "eq", "erf", "erf_inv", "exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le",
    "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "pow", "rem",
    "round", "rsqrt", "select_n", "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sin",
    "sqrt", "square", "stop_gradient", "sub", "tan", "tanh", "xor",
})
"""Primitives whose result at an index needs the operands at that index only."""

# fmt: on


class Step(NamedTuple):
    """One operation on numbered slots. It is full if it runs once for each index."""

    primitive: Any
    params: tuple[tuple[str, Any], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    is_full: bool
    is_rounded: bool
    """True if eager JAX rounds the result to memory: it is the result of an operation that the user's code called."""
    shapes: tuple[tuple[int, ...], ...] | None = None
    """The shapes of the inputs; None for elementwise operations, which take scalars of any rank."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A function of scalars and an element's index. Programs are equal if they run the same operations.

    Attributes:
      steps: the operations.
      constants: slot and value of the constants inside compiled functions, as bytes.
      arguments: slots of the arguments.
      result: slot of the result.
      is_random: whether the result depends on the index.
    """

    steps: tuple[Step, ...]
    constants: tuple[tuple[int, bytes, str], ...]
    arguments: tuple[int, ...]
    result: int
    is_random: bool

    def widens(self) -> bool:
        """Return whether elements are converted to 32 or 64 bits, perhaps from 16."""
        return any(
            step.is_full
            and step.primitive is not None
            and step.primitive.name == "convert_element_type"
            and dict(step.params)["new_dtype"] in (np.float32, np.float64)
            for step in self.steps
        )

    def multiplies_twice(self) -> bool:
        """Return whether an elementwise product is multiplied again."""
        products = {
            out
            for step in self.steps
            if step.is_full and step.primitive is not None and step.primitive.name == "mul"
            for out in step.outputs
        }
        for step in self.steps:
            if step.primitive is None and products.intersection(step.inputs):
                products.update(step.outputs)
        return any(
            step.is_full
            and step.primitive is not None
            and step.primitive.name == "mul"
            and bool(products.intersection(step.inputs))
            for step in self.steps
        )

    def run(
        self, arguments: Sequence[Any], high: Array, low: Array, minus_zero: Array | None
    ) -> Array:
        """Compute the elements at some indices.

        Args:
          arguments: the scalars.
          high: upper 32 bits of the indices, of any shape.
          low: lower 32 bits of the indices, of the same shape.
          minus_zero: -0.0 in float32, as an array whose value the compiler does not know; None if the program runs
            inside a function that is compiled as a whole, where nothing is rounded in between.

        Returns:
          The elements, of the same shape.
        """
        slots: dict[int, Any] = dict(zip(self.arguments, arguments, strict=True))
        for slot, data, dtype in self.constants:
            slots[slot] = jnp.asarray(np.frombuffer(data, jnp.dtype(dtype))[0])
        for step in self.steps:
            inputs = [slots[slot] for slot in step.inputs]
            if step.primitive is None:
                outputs = inputs
            elif step.is_full and step.primitive.name == "random_bits":
                outputs = [bits_at(inputs[0], dict(step.params)["bit_width"], high, low)]
            else:
                if step.is_full:
                    inputs = [_spread(value, low.shape) for value in inputs]
                else:
                    shapes = step.shapes or [()] * len(inputs)
                    inputs = list(map(_in_shape, inputs, shapes))
                outputs = step.primitive.bind(*inputs, **dict(step.params))
                outputs = outputs if step.primitive.multiple_results else [outputs]
            if step.is_rounded and minus_zero is not None:
                outputs = [_rounded(value, minus_zero) for value in outputs]
            slots.update(zip(step.outputs, outputs, strict=True))
        return _spread(slots[self.result], low.shape)


def _spread(value: Any, shape: tuple[int, ...]) -> Array:
    """Broadcast a scalar of any rank to a shape; return a full value, which has it, unchanged."""
    return value if jnp.shape(value) == shape else jnp.broadcast_to(jnp.ravel(value), shape)


def _in_shape(value: Any, shape: tuple[int, ...]) -> Any:
    return value if jnp.shape(value) == shape else jnp.reshape(value, shape)


def _rounded(value: Array, minus_zero: Array) -> Any:
    """Keep the compiler from fusing an operation with the next one where eager JAX runs two."""
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if value.dtype in (jnp.float32, jnp.float64):
        # A barrier does not stop a processor from multiplying and adding without rounding in between. Adding -0.0
        # changes no number, and takes the place of the addition.
        value = value + minus_zero.astype(value.dtype)
    elif jnp.issubdtype(value.dtype, jnp.floating):
        # Compilers compute 16-bit floats in 32 bits, and skip the rounding between two operations unless something
        # needs the 16 bits.
        unsigned = jnp.dtype(f"uint{8 * value.dtype.itemsize}")
        nothing = jax.lax.bitcast_convert_type(minus_zero, jnp.uint32) << 1
        bits = jax.lax.bitcast_convert_type(value, unsigned) | nothing.astype(unsigned)
        value = jax.lax.bitcast_convert_type(bits, value.dtype)
    return jax.lax.optimization_barrier(value)


@dataclasses.dataclass
class Elementwise:
    """An array as a program and its arguments."""

    program: Program
    arguments: list[Any]
    shape: tuple[int, ...]
    dtype: Any
    slot_count: int
    """The number of slots of the program."""
    sharding: Any
    """The sharding that the last `with_sharding_constraint` asks for; None without one."""

    def compiled_key(self) -> Any:
        """Return a value that is equal for arrays that one compiled loop can compute.

        XLA multiplies two constants first: x * c1 * c2 is rounded as x * (c1 * c2). In a program with such a product
        the scale must be a constant, or the bits would differ from those of `jax.jit` of the initializer.
        """
        scales = [
            value.item()
            for value in self.arguments
            if isinstance(value, np.ndarray) and jnp.issubdtype(value.dtype, np.inexact)
        ]
        return self.program, tuple(scales) if self.program.multiplies_twice() else ()
