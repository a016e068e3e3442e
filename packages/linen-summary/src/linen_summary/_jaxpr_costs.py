"""FLOPs of a traced function: the sum over its operations, each kind of which is counted once.

XLA adds up FLOPs as 32-bit floats. Where every partial sum is exact in those, the order does not matter and the sum
over the equations is XLA's number; where it might not be, the function is lowered as a whole and XLA is asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax

from linen_summary._jax_compat import live_part
from linen_summary._operations import RULES, fits, granularity

__all__ = ["JaxprCosts", "UnknownCostError"]

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


class UnknownCostError(Exception):
    """The backend does not say what a function costs."""


class _Cost(NamedTuple):
    """A number of FLOPs, and the bitwise or of the numbers that XLA adds up to it."""

    total: int
    bits: int

    @property
    def is_exact(self) -> bool:
        """Whether no partial sum of XLA's is rounded: all are multiples of the lowest bit."""
        return self.total <= _EXACT * (self.bits & -self.bits)


class JaxprCosts:
    """Counts the FLOPs of traced functions, and remembers those of operations."""

    def __init__(self) -> None:
        self._of_equations: dict[Any, _Cost] = {}
        self._of_jaxprs: dict[int, tuple[Any, _Cost]] = {}

    def of(self, traced: Any) -> int:
        """Count the FLOPs of a function that ``jax.jit(function).trace(...)`` gave.

        Raises:
          UnknownCostError: the backend has no cost analysis.
        """
        cost = self._of_jaxpr(live_part(traced.jaxpr.jaxpr))
        return cost.total if cost.total == 0 or cost.is_exact else _asked(traced)

    def _of_jaxpr(self, jaxpr: Any) -> _Cost:
        known = self._of_jaxprs.get(id(jaxpr))
        if known is not None:
            return known[1]
        total = bits = 0
        for equation in jaxpr.eqns:
            cost = self._of_equation(equation)
            total += cost.total
            bits |= cost.bits
        made = _Cost(total, bits)
        self._of_jaxprs[id(jaxpr)] = jaxpr, made
        return made

    def _of_equation(self, equation: Any) -> _Cost:
        inner = _CALLS.get(equation.primitive.name)
        if inner is not None:
            called = equation.params[inner]
            return self._of_jaxpr(getattr(called, "jaxpr", called))
        avals = tuple(variable.aval for variable in equation.invars)
        key = (equation.primitive, tuple(equation.params.items()), avals)
        try:
            known = self._of_equations.get(key)
        except TypeError:  # a parameter cannot be hashed
            return _operation_cost(equation)
        if known is None:
            known = self._of_equations[key] = _operation_cost(equation)
        return known


def _operation_cost(equation: Any) -> _Cost:
    rule = RULES.get(equation.primitive.name)
    flops = rule(equation) if rule is not None and fits(equation) else None
    if flops is not None:
        return _Cost(flops, flops)
    alone = jax.jit(lambda *args: equation.primitive.bind(*args, **equation.params))
    flops = _asked(alone.trace(*_specs(equation)))
    return _Cost(flops, granularity(equation, flops))


def _specs(equation: Any) -> list[jax.ShapeDtypeStruct]:
    avals = [variable.aval for variable in equation.invars]
    return [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]


def _asked(traced: Any) -> int:
    """Ask XLA for the FLOPs of a traced function."""
    cost = traced.lower().cost_analysis()
    if cost is None:
        msg = f"the backend {jax.default_backend()!r} has no cost analysis of what is not compiled"
        raise UnknownCostError(msg)
    return int(cost.get("flops", 0))
