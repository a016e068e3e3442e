"""FLOPs of a traced function: the sum over its operations, each kind of which is counted once.

XLA adds up FLOPs as 32-bit floats. Where every partial sum is exact in those, the order does not matter and the sum
over the equations is XLA's number; where it might not be, the function is lowered as a whole and XLA is asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from linen_summary._folding import NO_CONSTANT, SOME_CONSTANT, may_fold, result_constant
from linen_summary._jax_compat import live_part
from linen_summary._operations import RULES, fits, granularity
from linen_summary.errors import UnknownCostError

__all__ = ["JaxprCosts"]

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

_EXACT = 2**24
"""Integers up to here are exact as 32-bit floats."""


class _Cost(NamedTuple):
    """A number of FLOPs, and the bitwise or of the numbers that XLA adds up to it."""

    total: int
    bits: int
    folds: bool = False
    """Whether some of it might be simplified away."""

    @property
    def is_exact(self) -> bool:
        """Whether it is XLA's number: nothing is simplified away, and no partial sum of XLA's is rounded.

        All partial sums are multiples of the lowest bit.
        """
        lowest = self.bits & -self.bits
        return not self.folds and (self.total == 0 or self.total <= _EXACT * lowest)


class JaxprCosts:
    """Counts the FLOPs of traced functions, and remembers those of operations."""

    def __init__(self) -> None:
        self._of_equations: dict[Any, _Cost] = {}
        self._of_jaxprs: dict[Any, tuple[Any, _Cost]] = {}

    def of(self, traced: Any) -> int:
        """Count the FLOPs of a function that ``jax.jit(function).trace(...)`` gave.

        Raises:
          UnknownCostError: the backend has no cost analysis.
        """
        jaxpr = live_part(traced.jaxpr.jaxpr)
        cost = self._of_jaxpr(jaxpr, (NO_CONSTANT,) * len(jaxpr.invars))
        return cost.total if cost.is_exact else _asked(traced)

    def _of_jaxpr(self, jaxpr: Any, inputs: tuple[Any, ...]) -> _Cost:
        key = id(jaxpr), inputs
        if key not in self._of_jaxprs:
            self._of_jaxprs[key] = jaxpr, self._sum(jaxpr, inputs)
        return self._of_jaxprs[key][1]

    def _sum(self, jaxpr: Any, inputs: tuple[Any, ...]) -> _Cost:
        known: dict[Any, Any] = dict.fromkeys(jaxpr.constvars, SOME_CONSTANT)
        known.update(zip(jaxpr.invars, inputs, strict=True))
        total = bits = 0
        folds = False
        for equation in jaxpr.eqns:
            constants = tuple(
                [
                    _number(v.val) if hasattr(v, "val") else known.get(v, NO_CONSTANT)
                    for v in equation.invars
                ]
            )
            cost = self._of_equation(equation, constants)
            total += cost.total
            bits |= cost.bits
            folds = folds or cost.folds
            constant = result_constant(equation, constants)
            if constant is not NO_CONSTANT:
                known.update(dict.fromkeys(equation.outvars, constant))
        return _Cost(total, bits, folds)

    def _of_equation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        inner = _CALLS.get(equation.primitive.name)
        if inner is not None:
            called = equation.params[inner]
            return self._of_jaxpr(getattr(called, "jaxpr", called), constants)
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


def _operation_cost(equation: Any, constants: tuple[Any, ...]) -> _Cost:
    if may_fold(equation, constants):
        return _Cost(0, 0, folds=True)
    rule = RULES.get(equation.primitive.name)
    flops = rule(equation) if rule is not None and fits(equation) else None
    if flops is not None:
        return _Cost(flops, flops)
    flops = _asked(_alone(equation))
    return _Cost(flops, granularity(equation, flops))


def _number(literal: Any) -> Any:
    return literal.item() if hasattr(literal, "item") else literal


def _alone(equation: Any) -> Any:
    """Trace an equation as a function of its inputs that are no literals."""
    inputs = [variable for variable in equation.invars if not hasattr(variable, "val")]

    def run(arrays: list[Any]) -> Any:
        rest = iter(arrays)
        values = [v.val if hasattr(v, "val") else next(rest) for v in equation.invars]
        return equation.primitive.bind(*values, **equation.params)

    avals = [variable.aval for variable in inputs]
    return jax.jit(run).trace([jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals])


def _asked(traced: Any) -> int:
    """Ask XLA for the FLOPs of a traced function."""
    cost = traced.lower().cost_analysis()
    if cost is None:
        raise UnknownCostError(jax.default_backend())
    return int(cost.get("flops", 0))
