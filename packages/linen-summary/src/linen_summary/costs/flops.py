"""FLOPs of a call, and of its vector-Jacobian product.

The FLOPs of a traced function are the exact sum over its operations. XLA adds up the same numbers as 32-bit floats, so
the sums are equal below 2**24. If lowering might remove operations, and the trace does not show which, the function is
lowered as a whole and XLA counts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from linen_summary._jax_compat import jaxpr_as_fun
from linen_summary.costs.measure import Measure, TracedCall
from linen_summary.costs.operations import (
    NO_CONSTANT,
    RULES,
    SOME_CONSTANT,
    called_jaxprs,
    folds_alone,
    has_plain_types,
    live_part,
    may_fold,
    result_constant,
)
from linen_summary.errors import UnknownCostError
from linen_summary.text.values import short_number

__all__ = ["FLOPS", "VJP_FLOPS", "FlopCounter"]

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
        self._called: dict[Any, tuple[Any, _Cost]] = {}

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
        cost = self._jaxpr(jaxpr, (NO_CONSTANT,) * len(jaxpr.invars))
        if not cost.folds:
            return cost.flops, cost.iterations
        traced = traced or jax.jit(jaxpr_as_fun(program)).trace(*program.in_avals)
        return _xla_flops(traced) + _key_marks(jaxpr), cost.iterations

    def _jaxpr(self, jaxpr: Any, inputs: tuple[Any, ...]) -> _Cost:
        """Add up the equations of a jaxpr, and track which results are constants."""
        constant_of: dict[Any, Any] = dict.fromkeys(jaxpr.constvars, SOME_CONSTANT)
        constant_of.update(zip(jaxpr.invars, inputs, strict=True))
        flops, iterations, folds = 0, 0, False
        for equation in jaxpr.eqns:
            constants = tuple([_constant(variable, constant_of) for variable in equation.invars])
            cost = self._equation(equation, constants)
            flops, iterations = flops + cost.flops, iterations + cost.iterations
            folds = folds or cost.folds
            constant = result_constant(equation, constants)
            if constant is not NO_CONSTANT:
                constant_of.update(dict.fromkeys(equation.outvars, constant))
        return _Cost(flops, iterations, folds)

    def _equation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        called = self._called_jaxpr(equation)
        if called is None:
            return self._operation(equation, constants)
        is_inlined = equation.primitive.name in _INLINED
        inputs = constants if is_inlined else (NO_CONSTANT,) * len(constants)
        if (
            id(called),
            inputs,
        ) not in self._called:  # keeping the jaxpr keeps its id from being reused
            self._called[id(called), inputs] = called, self._jaxpr(called, inputs)
        cost = self._called[id(called), inputs][1]
        folds = not is_inlined and _has_constant_array(equation, constants)
        return cost._replace(folds=cost.folds or folds)

    def _called_jaxpr(self, equation: Any) -> Any:
        """Return the jaxpr that an equation runs once and unchanged; None for other equations."""
        called = equation.params.get(_CALLS.get(equation.primitive.name))
        return getattr(called, "jaxpr", called)

    def _operation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        if equation.primitive.name == "random_fold_in":
            # it is lowered to a function of its own, in which the constants are arguments
            constants = (NO_CONSTANT,) * len(constants)
        avals = tuple([variable.aval for variable in equation.invars])
        twice = len(set(map(id, equation.invars))) < len(avals)
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
        folds = may_fold(equation, constants)
        if folds and SOME_CONSTANT in constants:
            return _Cost(0, iterations, folds=True)
        rule = RULES.get(equation.primitive.name)
        by_rule = rule(equation) if rule is not None and has_plain_types(equation) else None
        if by_rule is not None and not folds:
            return _Cost(by_rule)
        flops = _xla_flops_alone(equation, constants)
        folds = folds and not folds_alone(equation, constants, costs=flops > 0)
        return _Cost(flops, iterations, folds)

    def _further_iterations(self, equation: Any) -> int:
        """Count the FLOPs that iterations of scans add to XLA's number, which has one iteration of each loop."""
        parameters = equation.params
        if equation.primitive.name == "scan":
            iteration = sum(self._program(parameters["jaxpr"]))
            alone = _xla_flops_alone(equation, (NO_CONSTANT,) * len(equation.invars))
            return int(parameters["length"] * iteration - alone)
        if equation.primitive.name == "cond":  # the larger branch counts
            branches = [self._program(branch) for branch in parameters["branches"]]
            return max(map(sum, branches)) - max(flops for flops, _ in branches)
        called = list(called_jaxprs(equation))
        return sum(self._jaxpr(j, (NO_CONSTANT,) * len(j.invars)).iterations for j in called)


def _has_constant_array(equation: Any, constants: tuple[Any, ...]) -> bool:
    return any(
        constant is not NO_CONSTANT and variable.aval.shape
        for variable, constant in zip(equation.invars, constants, strict=True)
    )


def _constant(variable: Any, constant_of: dict[Any, Any]) -> Any:
    """Return a variable's constant, represented as in `may_fold`."""
    if not hasattr(variable, "val"):
        return constant_of.get(variable, NO_CONSTANT)
    if variable.aval.shape:
        return SOME_CONSTANT
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
        if not hasattr(v, "val") and constant_of[id(v)] in (NO_CONSTANT, SOME_CONSTANT)
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
