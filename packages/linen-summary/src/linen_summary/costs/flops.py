"""FLOPs of a call, and of its vector-Jacobian product.

The FLOPs of a traced function are the exact sum over its operations. XLA adds up the same numbers as 32-bit floats, so
the sums are equal below 2**24. An operation that lowers to one operation of HLO counts by the rules of XLA's
`HloCostAnalysis`: an elementwise operation one FLOP for each element of its result, a transcendental function none, a
reduction one for each element of its input, and a dot or a convolution two for each product. XLA counts all others.

Lowering a function to HLO removes operations that constants make superfluous: ``x + 0``, ``x * 1``, the comparison of
two constants. The rule of such an operation counts FLOPs that XLA does not see. If the trace does not show which
operations are removed, the function is lowered as a whole and XLA counts it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from linen_summary._jax_compat import dce_jaxpr, jaxpr_as_fun
from linen_summary.costs.measure import Measure, TracedCall
from linen_summary.errors import UnknownCostError
from linen_summary.text.values import short_number

__all__ = ["FLOPS", "VJP_FLOPS", "FlopCounter", "called_jaxprs", "live_part", "multiplications"]

_NO_CONSTANT = object()
"""Marks a value that is unknown before the function runs."""
_SOME_CONSTANT = object()
"""Marks a constant array. A constant with the same number everywhere is represented by that number."""

_INLINED = {
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
}
"""Primitives whose operations replace the call when it is lowered, and the parameter with their jaxpr."""
_CALLS = {**_INLINED, "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
"""Primitives that run a jaxpr once and unchanged, and the parameter with it."""


class _Cost(NamedTuple):
    """The FLOPs of operations."""

    flops: int = 0
    """The sum with one iteration of each loop, as XLA counts it."""
    iterations: int = 0
    """FLOPs of the further iterations of scans."""
    folds: bool = False
    """True if lowering might remove some of the operations."""


class FlopCounter:
    """Counts the FLOPs of traced functions, and reuses the numbers of equal operations.

    Args:
      every_iteration: whether the body of a scan counts once for each iteration, or once as XLA counts it.
    """

    def __init__(self, *, every_iteration: bool) -> None:
        self._every_iteration = every_iteration
        self._operations: dict[Any, _Cost] = {}
        self._called: dict[Any, _Cost] = {}

    def count(self, traced: Any) -> int:
        """Count the FLOPs of a function that ``jax.jit(function).trace(...)`` traced.

        Raises:
          UnknownCostError: the backend has no cost analysis.
        """
        flops, iterations = self._program(traced.jaxpr, traced)
        return flops + iterations - _key_marks(live_part(traced.jaxpr.jaxpr))

    def _program(self, program: Any, traced: Any = None) -> tuple[int, int]:
        """Count the FLOPs of a closed jaxpr without marks of keys, and those of further iterations of its scans."""
        jaxpr = live_part(program.jaxpr)
        cost = self._jaxpr(jaxpr, (_NO_CONSTANT,) * len(jaxpr.invars))
        if not cost.folds:
            return cost.flops, cost.iterations
        traced = traced or jax.jit(jaxpr_as_fun(program)).trace(*program.in_avals)
        return _xla_flops(traced) + _key_marks(jaxpr), cost.iterations

    def _jaxpr(self, jaxpr: Any, inputs: tuple[Any, ...]) -> _Cost:
        """Add up the equations of a jaxpr, and track which results are constants."""
        constant_of: dict[Any, Any] = dict.fromkeys(jaxpr.constvars, _SOME_CONSTANT)
        constant_of.update(zip(jaxpr.invars, inputs, strict=True))
        flops, iterations, folds = 0, 0, False
        for equation in jaxpr.eqns:
            constants = tuple([_constant(variable, constant_of) for variable in equation.invars])
            cost = self._equation(equation, constants)
            flops, iterations = flops + cost.flops, iterations + cost.iterations
            folds = folds or cost.folds
            constant = _result_constant(equation, constants)
            if constant is not _NO_CONSTANT:
                constant_of.update(dict.fromkeys(equation.outvars, constant))
        return _Cost(flops, iterations, folds)

    def _equation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        called = equation.params.get(_CALLS.get(equation.primitive.name))
        if called is None:
            return self._operation(equation, constants)
        called = getattr(called, "jaxpr", called)
        is_inlined = equation.primitive.name in _INLINED
        inputs = constants if is_inlined else (_NO_CONSTANT,) * len(constants)
        if (called, inputs) not in self._called:
            self._called[called, inputs] = self._jaxpr(called, inputs)
        cost = self._called[called, inputs]
        folds = not is_inlined and _has_constant_array(equation, constants)
        return cost._replace(folds=cost.folds or folds)

    def _operation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        if equation.primitive.name == "random_fold_in":
            # it is lowered to a function of its own, in which the constants are arguments
            constants = (_NO_CONSTANT,) * len(constants)
        avals = tuple([variable.aval for variable in equation.invars])
        twice = _reads_twice(equation)
        key = (equation.primitive, tuple(equation.params.items()), avals, constants, twice)
        try:
            cost = self._operations.get(key)
        except TypeError:  # a parameter or a constant cannot be hashed
            return self._operation_cost(equation, constants)
        if cost is None:
            cost = self._operations[key] = self._operation_cost(equation, constants)
        return cost

    def _operation_cost(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        iterations = self._further_iterations(equation) if self._every_iteration else 0
        folds = _may_fold(equation, constants)
        if folds and _SOME_CONSTANT in constants:
            return _Cost(0, iterations, folds=True)
        rule = _RULES.get(equation.primitive.name)
        by_rule = rule(equation) if rule is not None and _has_plain_types(equation) else None
        if by_rule is not None and not folds:
            return _Cost(by_rule)
        flops = _xla_flops_alone(equation, constants)
        folds = folds and not _folds_alone(equation, constants, costs=flops > 0)
        return _Cost(flops, iterations, folds)

    def _further_iterations(self, equation: Any) -> int:
        """Count the FLOPs that iterations of scans add to XLA's number, which has one iteration of each loop."""
        parameters = equation.params
        if equation.primitive.name == "scan":
            iteration = sum(self._program(parameters["jaxpr"]))
            alone = _xla_flops_alone(equation, (_NO_CONSTANT,) * len(equation.invars))
            return int(parameters["length"] * iteration - alone)
        if equation.primitive.name == "cond":  # the larger branch counts
            branches = [self._program(branch) for branch in parameters["branches"]]
            return max(map(sum, branches)) - max(flops for flops, _ in branches)
        called = list(called_jaxprs(equation))
        return sum(self._jaxpr(j, (_NO_CONSTANT,) * len(j.invars)).iterations for j in called)


def _has_constant_array(equation: Any, constants: tuple[Any, ...]) -> bool:
    return any(
        constant is not _NO_CONSTANT and variable.aval.shape
        for variable, constant in zip(equation.invars, constants, strict=True)
    )


def _constant(variable: Any, constant_of: dict[Any, Any]) -> Any:
    """Return a variable's constant, represented as in `_may_fold`."""
    if not hasattr(variable, "val"):
        return constant_of.get(variable, _NO_CONSTANT)
    if variable.aval.shape:
        return _SOME_CONSTANT
    return variable.val.item() if hasattr(variable.val, "item") else variable.val


def _key_marks(jaxpr: Any) -> int:
    """Count the marks of a program. JAX marks each PRNG key that it uses or returns, and XLA counts -1 for a mark."""
    readers = (*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars)
    used = {variable for read in readers for variable in read if not hasattr(variable, "val")}
    return _keys(variable for variable in jaxpr.invars if variable in used) + _keys(jaxpr.outvars)


def _keys(variables: Iterable[Any]) -> int:
    return sum(jnp.issubdtype(v.aval.dtype, jax.dtypes.extended) for v in variables)


def _xla_flops_alone(equation: Any, constants: tuple[Any, ...]) -> int:
    """Return XLA's FLOPs of an equation as a function of its inputs, with constant numbers in their places."""
    constant_of = dict(zip(map(id, equation.invars), constants, strict=True))
    inputs = {
        id(v): jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype)
        for v in equation.invars
        if not hasattr(v, "val") and constant_of[id(v)] in (_NO_CONSTANT, _SOME_CONSTANT)
    }

    def run(arrays: dict[int, Any]) -> Any:
        values = []
        for variable in equation.invars:
            aval, value = variable.aval, getattr(variable, "val", arrays.get(id(variable)))
            number = constant_of[id(variable)]
            values.append(lax.full(aval.shape, number, aval.dtype) if value is None else value)
        return equation.primitive.bind(*values, **equation.params)

    variables = {id(v): v for v in equation.invars}.values()
    return _xla_flops(jax.jit(run).trace(inputs)) + _keys(variables) + _keys(equation.outvars)


def _xla_flops(traced: Any) -> int:
    """Return XLA's FLOPs of a traced function."""
    lowered = traced.lower()
    try:
        cost = lowered.cost_analysis()
    except NotImplementedError:
        cost = None
    if cost is None:
        raise UnknownCostError(jax.default_backend())
    return int(cost.get("flops", 0))


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


def _has_plain_types(equation: Any) -> bool:
    """Return whether the rules cover an equation's types: real numbers and booleans, in plain arrays."""
    variables = (*equation.invars, *equation.outvars)
    return all(
        isinstance(dtype, np.dtype) and not jnp.issubdtype(dtype, jnp.complexfloating)
        for dtype in (getattr(variable.aval, "dtype", None) for variable in variables)
    )


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


def _product(equation: Any) -> int | None:
    dtypes = {variable.aval.dtype for variable in (*equation.invars, *equation.outvars)}
    return 2 * multiplications(equation) if len(dtypes) == 1 else None


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


_RULES: dict[str, Callable[[Any], int | None]] = {
    **dict.fromkeys(_FREE.split(), _free),
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(_REDUCTIONS.split(), _reduction),
    "conv_general_dilated": _product,
    "dot_general": _product,
    "select_n": _select,
}
"""The functions that count the FLOPs of an equation, by primitive. None means that the rule does not apply."""


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


def _may_fold(equation: Any, constants: Sequence[Any]) -> bool:
    """Return whether lowering might remove an operation.

    Args:
      equation: the equation of a jaxpr.
      constants: `_NO_CONSTANT`, `_SOME_CONSTANT` or a number for each input.
    """
    name = equation.primitive.name
    if _RULES.get(name) is _free:
        return False
    constant_inputs = [constant for constant in constants if constant is not _NO_CONSTANT]
    if name not in _RULES:
        return _SOME_CONSTANT in constant_inputs
    if constant_inputs and len(constant_inputs) == len(constants):
        return name != "convert_element_type" or _changes_dtype(equation)
    if name == "not" or _reads_twice(equation):
        return name not in ("mul", "add", "add_any", "dot_general")
    if name == "select_n":
        return constants[0] is not _NO_CONSTANT
    if name in _COMPARISONS and not _is_unsigned(equation.invars[0]):
        return False
    if name in ("max", "min") and _is_float(equation.invars[0]):
        return False
    folding = _FOLDING_CONSTANTS.get(name, constant_inputs)
    return any(c is _SOME_CONSTANT or c in folding for c in constant_inputs)


def _reads_twice(equation: Any) -> bool:
    """Return whether two operands are the same variable."""
    variables = [variable for variable in equation.invars if not hasattr(variable, "val")]
    return len(set(variables)) < len(variables)


def _changes_dtype(equation: Any) -> bool:
    return bool(equation.invars[0].aval.dtype != equation.outvars[0].aval.dtype)


def _is_unsigned(variable: Any) -> bool:
    dtype = variable.aval.dtype
    return bool(jnp.issubdtype(dtype, jnp.unsignedinteger) or jnp.issubdtype(dtype, jnp.bool_))


def _is_float(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jnp.floating))


def _result_constant(equation: Any, constants: Sequence[Any]) -> Any:
    """Return the constant that an equation computes, represented as in `_may_fold`."""
    if any(constant is _NO_CONSTANT for constant in constants):
        return _NO_CONSTANT
    name = equation.primitive.name
    if name == "iota":
        shape = equation.outvars[0].aval.shape
        return 0 if shape[equation.params["dimension"]] == 1 else _NO_CONSTANT
    if name == "iota_2x32_shape" and max(equation.outvars[0].aval.shape) > 1:
        return _NO_CONSTANT
    if len(constants) == 1 and name in _MOVES.split():
        return constants[0]
    numbers = _SOME_CONSTANT not in constants
    if name in _FUNCTIONS and numbers and _is_float(equation.outvars[0]):
        number = _FUNCTIONS[name](*constants)
        return number if math.isfinite(number) else _SOME_CONSTANT
    return _SOME_CONSTANT


def _folds_alone(equation: Any, constants: Sequence[Any], *, costs: bool) -> bool:
    """Return whether lowering an operation on its own shows if it is removed, whatever surrounds it.

    Args:
      equation: the equation of a jaxpr.
      constants: as for `_may_fold`.
      costs: whether the operation has FLOPs when it is lowered on its own.
    """
    name = equation.primitive.name
    if name == "not" or _SOME_CONSTANT in constants or _reads_twice(equation):
        return False
    known = [constant for constant in constants if constant is not _NO_CONSTANT]
    return costs or len(known) == len(constants) or known == [_NEUTRAL.get(name)]


def _counter(call: TracedCall) -> FlopCounter:
    """Return the counter of a table, which both measures share."""
    counter: FlopCounter = call.cache.setdefault(
        FlopCounter, FlopCounter(every_iteration=call.every_iteration)
    )
    return counter


FLOPS = Measure(
    name="flops",
    label="FLOPs",
    header="flops",
    argument="compute_flops",
    help="count FLOPs",
    compute=lambda call: _counter(call).count(call.forward),
    text=short_number,
    includes_submodules=True,
)
VJP_FLOPS = Measure(
    name="vjp_flops",
    label="VJP FLOPs",
    header="vjp flops",
    argument="compute_vjp_flops",
    help="count FLOPs of vector-Jacobian products",
    compute=lambda call: _counter(call).count(call.backward),
    text=short_number,
    includes_submodules=True,
)
