"""FLOPs of a traced function: the sum over its operations, each kind of which is counted once.

XLA adds up FLOPs as 32-bit floats. Where every partial sum is exact in those, the order does not matter and the sum
over the equations is XLA's number; where it might not be, the numbers are added in XLA's order. Where that is not
known, or operations might be simplified away, the function is lowered as a whole and XLA is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
from jax import lax

from linen_summary._folding import NO_CONSTANT, SOME_CONSTANT, is_certain, may_fold, result_constant
from linen_summary._jax_compat import live_part, random_bits_jaxpr
from linen_summary._operations import RULES, additions, fits, granularity
from linen_summary._rounded_sums import INLINED, Cost, Function, Step, marks, rounded_sum
from linen_summary._stand_ins import placeholder
from linen_summary.errors import UnknownCostError

__all__ = ["JaxprCosts", "used_variables"]

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
}
"""Primitives that run a jaxpr once as it is, and the parameter that holds it."""


class JaxprCosts:
    """Counts the FLOPs of traced functions, and remembers those of operations."""

    def __init__(self) -> None:
        self._of_equations: dict[Any, Cost] = {}
        self._functions: dict[Any, Function] = {}
        self._drawn: dict[tuple[int, tuple[int, ...]], Any] = {}

    def of(self, traced: Any) -> int:
        """Count the FLOPs of a function that ``jax.jit(function).trace(...)`` gave.

        Raises:
          UnknownCostError: the backend has no cost analysis.
        """
        jaxpr = live_part(traced.jaxpr.jaxpr)
        exact = self.exact(jaxpr)
        if exact is not None:
            return exact
        function = self._program(jaxpr)
        rounded = None if function.cost.folds else rounded_sum(function)
        return _asked(traced) if rounded is None else int(rounded)

    def exact(self, jaxpr: Any) -> int | None:
        """Count the FLOPs of a program, if XLA's number does not depend on the order of its additions."""
        function = self._program(jaxpr)
        if not function.cost.is_exact:
            return None
        used = used_variables(jaxpr)
        taken = [variable for variable in jaxpr.invars if variable in used]
        return function.cost.total - marks(taken) - marks(jaxpr.outvars)

    def inside(self, jaxpr: Any, results: int) -> tuple[Cost, bool]:
        """Say what a function costs inside of others, and whether any of its first results is a constant."""
        function = self._program(jaxpr)
        constants = function.results[:results]
        return function.cost, any(constant is not NO_CONSTANT for constant in constants)

    def _program(self, jaxpr: Any) -> Function:
        return self._function(jaxpr, (NO_CONSTANT,) * len(jaxpr.invars))

    def _function(self, jaxpr: Any, inputs: tuple[Any, ...]) -> Function:
        key = id(jaxpr), inputs
        if key not in self._functions:
            known: dict[Any, Any] = dict.fromkeys(jaxpr.constvars, SOME_CONSTANT)
            known.update(zip(jaxpr.invars, inputs, strict=True))
            steps = list(self._steps(jaxpr, known))
            total = bits = 0
            for step in steps:
                total += step.cost.total
                bits |= step.cost.bits
            folds = any(step.cost.folds for step in steps)
            results = tuple([_constant(variable, known) for variable in jaxpr.outvars])
            self._functions[key] = Function(jaxpr, Cost(total, bits, folds), steps, results)
        return self._functions[key]

    def _steps(self, jaxpr: Any, known: dict[Any, Any]) -> Iterator[Step]:
        """Count the equations of a jaxpr one by one, and note which results are constants."""
        for equation in jaxpr.eqns:
            constants = tuple([_constant(variable, known) for variable in equation.invars])
            called = self._called(equation)
            if called is None:
                yield Step(equation, self._of_equation(equation, constants))
            else:
                function = self._function(called, _handed_over(equation, constants))
                folds = function.cost.folds or _hands_over_arrays(equation, constants)
                yield Step(equation, function.cost._replace(folds=folds), function)
            constant = result_constant(equation, constants)
            if constant is not NO_CONSTANT:
                known.update(dict.fromkeys(equation.outvars, constant))

    def _called(self, equation: Any) -> Any:
        """Return the jaxpr that an equation runs once as it is; None if it does not."""
        name = equation.primitive.name
        if name == "random_bits" and str(equation.invars[0].aval) == "key<fry>[]":
            drawn = equation.params["bit_width"], tuple(equation.params["shape"])
            if drawn[1] and drawn not in self._drawn:
                self._drawn[drawn] = random_bits_jaxpr(*drawn)
            return self._drawn.get(drawn)
        inner = _CALLS.get(name)
        if inner is None:
            return None
        called = equation.params[inner]
        return getattr(called, "jaxpr", called)

    def _of_equation(self, equation: Any, constants: tuple[Any, ...]) -> Cost:
        if equation.primitive is placeholder:
            return equation.params["cost"]  # type: ignore[no-any-return]
        if equation.primitive.name == "random_fold_in":
            # it becomes a function that stands by itself: see `_handed_over`
            constants = (NO_CONSTANT,) * len(constants)
        avals = tuple([variable.aval for variable in equation.invars])
        twice = len(set(map(id, equation.invars))) < len(avals)
        key = (equation.primitive, tuple(equation.params.items()), avals, constants, twice)
        try:
            known = self._of_equations.get(key)
        except TypeError:  # a parameter, or a constant, cannot be hashed
            return _operation_cost(equation, constants)
        if known is None:
            known = self._of_equations[key] = _operation_cost(equation, constants)
        return known


def used_variables(jaxpr: Any) -> set[Any]:
    """Return the variables that an equation takes or that are returned."""
    readers = (*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars)
    return {variable for read in readers for variable in read if not hasattr(variable, "val")}


def _handed_over(equation: Any, constants: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what a called function knows to be constant: nothing, where it stands by itself."""
    if equation.primitive.name in INLINED:
        return constants
    return (NO_CONSTANT,) * len(constants)


def _hands_over_arrays(equation: Any, constants: tuple[Any, ...]) -> bool:
    """Tell whether a function that stands by itself is called with constant arrays."""
    return equation.primitive.name not in INLINED and any(
        constant is not NO_CONSTANT and variable.aval.shape
        for variable, constant in zip(equation.invars, constants, strict=True)
    )


def _operation_cost(equation: Any, constants: tuple[Any, ...]) -> Cost:
    folds = may_fold(equation, constants)
    if folds and SOME_CONSTANT in constants:
        return Cost(0, 0, folds=True)
    rule = RULES.get(equation.primitive.name)
    ruled = rule(equation) if rule is not None and fits(equation) else None
    if ruled is not None and not folds:
        return Cost(ruled, ruled, additions=1)
    variables = {id(v): v for v in equation.invars}.values()
    flops = _asked(_alone(equation, constants)) + marks(variables) + marks(equation.outvars)
    folds = folds and not is_certain(equation, constants, costs=flops > 0)
    if flops in (0, ruled):
        return Cost(flops, flops, folds, additions=1)
    return Cost(flops, granularity(equation, flops), folds, additions(equation, flops))


def _constant(variable: Any, known: dict[Any, Any]) -> Any:
    """Return what constant an input of an equation is, as `may_fold` takes it."""
    if not hasattr(variable, "val"):
        return known.get(variable, NO_CONSTANT)
    literal = variable.val
    return literal.item() if hasattr(literal, "item") else literal


def _alone(equation: Any, constants: Sequence[Any]) -> Any:
    """Trace an equation as a function of its inputs, but for those that are known to be numbers."""
    known = dict(zip(map(id, equation.invars), constants, strict=True))
    inputs = {
        id(v): jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype)
        for v in equation.invars
        if not hasattr(v, "val") and known[id(v)] in (NO_CONSTANT, SOME_CONSTANT)
    }

    def run(arrays: dict[int, Any]) -> Any:
        values = []
        for variable in equation.invars:
            aval, value = variable.aval, getattr(variable, "val", arrays.get(id(variable)))
            number = known[id(variable)]
            values.append(lax.full(aval.shape, number, aval.dtype) if value is None else value)
        return equation.primitive.bind(*values, **equation.params)

    return jax.jit(run).trace(inputs)


def _asked(traced: Any) -> int:
    """Ask XLA for the FLOPs of a traced function."""
    lowered = traced.lower()
    try:
        cost = lowered.cost_analysis()
    except NotImplementedError:
        cost = None
    if cost is None:
        raise UnknownCostError(jax.default_backend())
    return int(cost.get("flops", 0))
