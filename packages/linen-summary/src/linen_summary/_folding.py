"""Which operations might be simplified away before XLA counts them.

On its way to HLO a function loses operations that constants make superfluous: ``x + 0``, ``x * 1``, the comparison of
two constants. Where an equation might be one of those, counting it by itself counts too much.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from linen_summary._operations import FREE, RULES

__all__ = ["NO_CONSTANT", "SOME_CONSTANT", "is_certain", "may_fold", "result_constant"]

NO_CONSTANT = object()
"""Stands for a value that is known when the function runs, not before."""
SOME_CONSTANT = object()
"""Stands for a constant array; a constant with the same number everywhere is given as that number."""

_ONES = (-1, *(2**bits - 1 for bits in (1, 8, 16, 32, 64)))
_IDENTITIES = {
    "add": (0,),
    "add_any": (0,),
    "sub": (0,),
    "mul": (0, 1),
    "div": (0, 1),
    "and": (0, *_ONES),
    "or": (0, *_ONES),
    "xor": (0, *_ONES),
}
_UNITS = {"add": 0, "add_any": 0, "sub": 0, "mul": 1}
"""Operations that give their other operand back, and for which constant."""
_COMPARISONS = frozenset({"eq", "ge", "gt", "le", "lt", "ne"})
_MOVES = frozenset(
    (
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "copy_p",
        "expand_dims",
        "reshape",
        "rev",
        "squeeze",
        "transpose",
    )
)
_COSTS_NOTHING = frozenset(FREE.split())
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "mul": operator.mul,
    "sub": operator.sub,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "rsqrt": lambda x: 1 / math.sqrt(x) if x > 0 else math.nan,
}


def may_fold(equation: Any, constants: Sequence[Any]) -> bool:
    """Tell whether an operation might be simplified away.

    Args:
      equation: the equation of a jaxpr.
      constants: for each of its inputs `NO_CONSTANT`, `SOME_CONSTANT` or a number.
    """
    name = equation.primitive.name
    if name in _COSTS_NOTHING:
        return False
    known = [constant for constant in constants if constant is not NO_CONSTANT]
    if name not in RULES:
        return SOME_CONSTANT in known
    if known and len(known) == len(constants):
        return name != "convert_element_type" or _changes(equation)
    variables = [id(variable) for variable in equation.invars if not hasattr(variable, "val")]
    if name == "not" or len(set(variables)) < len(variables):
        return name not in ("mul", "add", "add_any", "dot_general")
    if name == "select_n":
        return constants[0] is not NO_CONSTANT
    if name in _COMPARISONS and not _is_unsigned(equation.invars[0]):
        return False
    if name in ("max", "min") and _is_float(equation.invars[0]):
        return False
    simpler = _IDENTITIES.get(name, known)
    return any(constant is SOME_CONSTANT or constant in simpler for constant in known)


def _changes(equation: Any) -> bool:
    return bool(equation.invars[0].aval.dtype != equation.outvars[0].aval.dtype)


def _is_unsigned(variable: Any) -> bool:
    dtype = variable.aval.dtype
    return bool(jnp.issubdtype(dtype, jnp.unsignedinteger) or jnp.issubdtype(dtype, jnp.bool_))


def _is_float(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.floating))


def result_constant(equation: Any, constants: Sequence[Any]) -> Any:
    """Say what constant an equation gives, as `may_fold` takes it."""
    if any(constant is NO_CONSTANT for constant in constants):
        return NO_CONSTANT
    name = equation.primitive.name
    if name == "iota":
        return (
            0 if equation.outvars[0].aval.shape[equation.params["dimension"]] == 1 else NO_CONSTANT
        )
    if name == "iota_2x32_shape" and max(equation.outvars[0].aval.shape) > 1:
        return NO_CONSTANT
    if len(constants) == 1 and name in _MOVES:
        return constants[0]
    numbers = SOME_CONSTANT not in constants
    if name in _FUNCTIONS and numbers and _is_float(equation.outvars[0]):
        number = _FUNCTIONS[name](*constants)
        return number if math.isfinite(number) else SOME_CONSTANT
    return SOME_CONSTANT


def is_certain(equation: Any, constants: Sequence[Any], *, costs: bool) -> bool:
    """Tell whether an operation that may be simplified is so by itself, whatever stands around it.

    Args:
      equation: the equation of a jaxpr.
      constants: as for `may_fold`.
      costs: whether anything is left of the operation, for constants with these numbers.
    """
    variables = [id(variable) for variable in equation.invars if not hasattr(variable, "val")]
    if SOME_CONSTANT in constants or len(set(variables)) < len(variables):
        return False
    name = equation.primitive.name
    known = [constant for constant in constants if constant is not NO_CONSTANT]
    if name == "not":
        return False
    return costs or len(known) == len(constants) or known == [_UNITS.get(name)]
