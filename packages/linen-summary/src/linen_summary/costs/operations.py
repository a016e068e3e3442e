"""FLOPs of single operations, by the rules of XLA's `HloCostAnalysis`, and the operations that constants remove.

The rules cover operations that lower to one operation of HLO. XLA counts all others itself. An elementwise operation
counts one FLOP for each element of its result, a transcendental function none, a reduction one for each element of its
input, and a dot or a convolution two for each product.

Lowering a function to HLO removes operations that constants make superfluous: ``x + 0``, ``x * 1``, the comparison of
two constants. The rule of such an operation counts FLOPs that XLA does not see.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from linen_summary._jax_compat import dce_jaxpr

__all__ = [
    "NO_CONSTANT",
    "RULES",
    "SOME_CONSTANT",
    "called_jaxprs",
    "folds_alone",
    "has_plain_types",
    "live_part",
    "may_fold",
    "multiplications",
    "result_constant",
]

_FREE = """
    broadcast_in_dim concatenate copy copy_p expand_dims iota optimization_barrier pad reshape rev slice squeeze
    stop_gradient transpose cos exp expm1 log log1p rsqrt sin sqrt tanh
"""
"""Operations without FLOPs: those that move elements, and transcendental functions."""

_ELEMENTWISE = """
    abs add add_any and bitcast_convert_type ceil convert_element_type div eq floor ge gt is_finite le
    lt max min mul ne neg not or rem shift_left shift_right_arithmetic shift_right_logical sign square sub xor
"""
_REDUCTIONS = "reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum"


def live_part(jaxpr: Any) -> Any:
    """Return a jaxpr without the equations that its results do not depend on, as lowering does."""
    return dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), True)[0]


def called_jaxprs(equation: Any) -> Iterator[Any]:
    """Yield the jaxprs among the parameters of an equation. Rules for derivatives are functions, not jaxprs."""
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr


def has_plain_types(equation: Any) -> bool:
    """Return whether the rules cover an equation's types: real numbers and booleans, in plain arrays."""
    return all(_is_plain(variable.aval) for variable in (*equation.invars, *equation.outvars))


def _is_plain(aval: Any) -> bool:
    dtype = getattr(aval, "dtype", None)
    return isinstance(dtype, np.dtype) and not jnp.issubdtype(dtype, jnp.complexfloating)


def _size(variable: Any) -> int:
    return math.prod(map(int, variable.aval.shape))


def _free(_equation: Any) -> int:
    return 0


def _elementwise(equation: Any) -> int | None:
    if equation.primitive.name == "convert_element_type":
        (old,), (new,) = equation.invars, equation.outvars
        return 0 if old.aval.dtype == new.aval.dtype else _size(new)
    return _size(equation.outvars[0])


def _reduction(equation: Any) -> int:
    return _size(equation.invars[0]) - _size(equation.outvars[0])


def _select(equation: Any) -> int | None:
    which, *cases = equation.invars
    return _size(equation.outvars[0]) if which.aval.dtype == bool and len(cases) == 2 else None


def _one_dtype(equation: Any) -> bool:
    return len({v.aval.dtype for v in (*equation.invars, *equation.outvars)}) == 1


def _product(equation: Any) -> int | None:
    return 2 * multiplications(equation) if _one_dtype(equation) else None


def multiplications(equation: Any) -> int:
    """Count the products that a dot or a convolution adds up. Returns 0 for other equations."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return _size(equation.outvars[0]) * math.prod(int(shape[axis]) for axis in contracted)
    return _convolved(equation) if equation.primitive.name == "conv_general_dilated" else 0


def _convolved(equation: Any) -> int:
    """Count a product for each pair of a kernel element and an input element, without padding."""
    p = equation.params
    lhs, rhs = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    numbers = p["dimension_numbers"]
    products = math.prod(
        sum(_pairs(*extents))
        for extents in zip(
            (lhs[axis] for axis in numbers.lhs_spec[2:]),
            (rhs[axis] for axis in numbers.rhs_spec[2:]),
            (out[axis] for axis in numbers.out_spec[2:]),
            p["window_strides"],
            p["padding"],
            p["lhs_dilation"],
            p["rhs_dilation"],
            strict=True,
        )
    )
    features_in = lhs[numbers.lhs_spec[1]] // p["feature_group_count"]
    batch = lhs[numbers.lhs_spec[0]] // p["batch_group_count"]
    return int(features_in * out[numbers.out_spec[1]] * batch * products)


def _pairs(
    size: int,
    kernel: int,
    out: int,
    stride: int,
    padding: tuple[int, int],
    base_dilation: int,
    window_dilation: int,
) -> Iterator[int]:
    """Yield for each kernel element along an axis the number of its positions on the input."""
    positions = np.arange(out) * stride - padding[0]
    for element in range(kernel):
        places = positions + element * window_dilation
        on_input = (places >= 0) & (places % base_dilation == 0) & (places // base_dilation < size)
        yield int(on_input.sum())


Rule = Callable[[Any], int | None]

RULES: dict[str, Rule] = {
    **dict.fromkeys(_FREE.split(), _free),
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(_REDUCTIONS.split(), _reduction),
    "conv_general_dilated": _product,
    "dot_general": _product,
    "select_n": _select,
}
"""The functions that count the FLOPs of an equation, by primitive. None means that the rule does not apply."""


NO_CONSTANT = object()
"""Marks a value that is unknown before the function runs."""
SOME_CONSTANT = object()
"""Marks a constant array. A constant with the same number everywhere is represented by that number."""

_ONES = (-1, *(2**bits - 1 for bits in (1, 8, 16, 32, 64)))
_FOLDING_CONSTANTS = {
    "add": (0,),
    "add_any": (0,),
    "sub": (0,),
    "mul": (0, 1),
    "div": (0, 1),
    "and": (0, *_ONES),
    "or": (0, *_ONES),
    "xor": (0, *_ONES),
}
_NEUTRAL = {"add": 0, "add_any": 0, "sub": 0, "mul": 1}
"""Constants with which an operation returns its other operand."""
_COMPARISONS = frozenset({"eq", "ge", "gt", "le", "lt", "ne"})
_MOVES = (
    "broadcast_in_dim convert_element_type copy copy_p expand_dims reshape rev squeeze transpose"
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "mul": operator.mul,
    "sub": operator.sub,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "rsqrt": lambda x: 1 / math.sqrt(x) if x > 0 else math.nan,
}


def may_fold(equation: Any, constants: Sequence[Any]) -> bool:
    """Return whether lowering might remove an operation.

    Args:
      equation: the equation of a jaxpr.
      constants: `NO_CONSTANT`, `SOME_CONSTANT` or a number for each input.
    """
    name = equation.primitive.name
    if RULES.get(name) is _free:
        return False
    constant_inputs = [constant for constant in constants if constant is not NO_CONSTANT]
    if name not in RULES:
        return SOME_CONSTANT in constant_inputs
    if constant_inputs and len(constant_inputs) == len(constants):
        return name != "convert_element_type" or _changes_dtype(equation)
    variables = [id(variable) for variable in equation.invars if not hasattr(variable, "val")]
    if name == "not" or len(set(variables)) < len(variables):
        return name not in ("mul", "add", "add_any", "dot_general")
    if name == "select_n":
        return constants[0] is not NO_CONSTANT
    if name in _COMPARISONS and not _is_unsigned(equation.invars[0]):
        return False
    if name in ("max", "min") and _is_float(equation.invars[0]):
        return False
    folding = _FOLDING_CONSTANTS.get(name, constant_inputs)
    return any(c is SOME_CONSTANT or c in folding for c in constant_inputs)


def _changes_dtype(equation: Any) -> bool:
    return bool(equation.invars[0].aval.dtype != equation.outvars[0].aval.dtype)


def _is_unsigned(variable: Any) -> bool:
    dtype = variable.aval.dtype
    return bool(jnp.issubdtype(dtype, jnp.unsignedinteger) or jnp.issubdtype(dtype, jnp.bool_))


def _is_float(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.floating))


def result_constant(equation: Any, constants: Sequence[Any]) -> Any:
    """Return the constant that an equation computes, represented as in `may_fold`."""
    if any(constant is NO_CONSTANT for constant in constants):
        return NO_CONSTANT
    name = equation.primitive.name
    if name == "iota":
        shape = equation.outvars[0].aval.shape
        return 0 if shape[equation.params["dimension"]] == 1 else NO_CONSTANT
    if name == "iota_2x32_shape" and max(equation.outvars[0].aval.shape) > 1:
        return NO_CONSTANT
    if len(constants) == 1 and name in _MOVES.split():
        return constants[0]
    numbers = SOME_CONSTANT not in constants
    if name in _FUNCTIONS and numbers and _is_float(equation.outvars[0]):
        number = _FUNCTIONS[name](*constants)
        return number if math.isfinite(number) else SOME_CONSTANT
    return SOME_CONSTANT


def folds_alone(equation: Any, constants: Sequence[Any], *, costs: bool) -> bool:
    """Return whether lowering an operation on its own shows if it is removed, whatever surrounds it.

    Args:
      equation: the equation of a jaxpr.
      constants: as for `may_fold`.
      costs: whether the operation has FLOPs when it is lowered on its own.
    """
    variables = [id(variable) for variable in equation.invars if not hasattr(variable, "val")]
    if SOME_CONSTANT in constants or len(set(variables)) < len(variables):
        return False
    name = equation.primitive.name
    constant_inputs = [constant for constant in constants if constant is not NO_CONSTANT]
    if name == "not":
        return False
    return (
        costs or len(constant_inputs) == len(constants) or constant_inputs == [_NEUTRAL.get(name)]
    )
