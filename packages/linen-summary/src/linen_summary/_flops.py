"""FLOPs of a traced function: the exact sum over its operations, each kind of which is counted once.

XLA adds up the same numbers as 32-bit floats: the sums are equal below 2**24. Where operations might be simplified away
before XLA counts them, and it is not known which, the function is lowered as a whole and XLA is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from linen_summary._estimates import called_jaxprs
from linen_summary._jax_compat import as_function, live_part
from linen_summary._operations import (
    NO_CONSTANT,
    RULES,
    SOME_CONSTANT,
    fits,
    is_certain,
    may_fold,
    result_constant,
)
from linen_summary.errors import UnknownCostError

__all__ = ["FlopCounter"]

_INLINED = {
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
}
"""Primitives whose operations stand where the call stood, and the parameter that holds them."""
_CALLS = {**_INLINED, "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}
"""All primitives that run a jaxpr once as it is."""


class _Cost(NamedTuple):
    """The FLOPs of operations."""

    flops: int = 0
    """The sum, with one turn of each loop, as XLA counts it."""
    turns: int = 0
    """What the further turns of scans add."""
    folds: bool = False
    """Whether some of it might be simplified away."""


class FlopCounter:
    """Counts the FLOPs of traced functions, and remembers those of operations.

    Args:
      every_turn: whether the body of a scan counts once for each turn, not once as XLA counts it.
    """

    def __init__(self, *, every_turn: bool) -> None:
        self._every_turn = every_turn
        self._operations: dict[Any, _Cost] = {}
        self._called: dict[Any, tuple[Any, _Cost]] = {}

    def count(self, traced: Any) -> int:
        """Count the FLOPs of a function that ``jax.jit(function).trace(...)`` gave.

        Raises:
          UnknownCostError: the backend has no cost analysis.
        """
        flops, turns = self._program(traced.jaxpr, traced)
        return flops + turns - _key_marks(live_part(traced.jaxpr.jaxpr))

    def _program(self, program: Any, traced: Any = None) -> tuple[int, int]:
        """Count the FLOPs of a closed jaxpr, without marks of keys, and those of further turns of its scans."""
        jaxpr = live_part(program.jaxpr)
        cost = self._jaxpr(jaxpr, (NO_CONSTANT,) * len(jaxpr.invars))
        if not cost.folds:
            return cost.flops, cost.turns
        traced = traced or jax.jit(as_function(program)).trace(*program.in_avals)
        return _asked(traced) + _key_marks(jaxpr), cost.turns

    def _jaxpr(self, jaxpr: Any, inputs: tuple[Any, ...]) -> _Cost:
        """Add up the equations of a jaxpr, and note which results are constants."""
        known: dict[Any, Any] = dict.fromkeys(jaxpr.constvars, SOME_CONSTANT)
        known.update(zip(jaxpr.invars, inputs, strict=True))
        flops, turns, folds = 0, 0, False
        for equation in jaxpr.eqns:
            constants = tuple([_constant(variable, known) for variable in equation.invars])
            cost = self._equation(equation, constants)
            flops, turns, folds = flops + cost.flops, turns + cost.turns, folds or cost.folds
            constant = result_constant(equation, constants)
            if constant is not NO_CONSTANT:
                known.update(dict.fromkeys(equation.outvars, constant))
        return _Cost(flops, turns, folds)

    def _equation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        called = self._called_jaxpr(equation)
        if called is None:
            return self._operation(equation, constants)
        is_inlined = equation.primitive.name in _INLINED
        inputs = constants if is_inlined else (NO_CONSTANT,) * len(constants)
        if (id(called), inputs) not in self._called:  # the jaxpr is kept: its id must stay its own
            self._called[id(called), inputs] = called, self._jaxpr(called, inputs)
        cost = self._called[id(called), inputs][1]
        folds = not is_inlined and _has_constant_array(equation, constants)
        return cost._replace(folds=cost.folds or folds)

    def _called_jaxpr(self, equation: Any) -> Any:
        """Return the jaxpr that an equation runs once as it is; None if it does not."""
        called = equation.params.get(_CALLS.get(equation.primitive.name))
        return getattr(called, "jaxpr", called)

    def _operation(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        if equation.primitive.name == "random_fold_in":
            # it becomes a function that stands by itself, and knows no constants
            constants = (NO_CONSTANT,) * len(constants)
        avals = tuple([variable.aval for variable in equation.invars])
        twice = len(set(map(id, equation.invars))) < len(avals)
        key = (equation.primitive, tuple(equation.params.items()), avals, constants, twice)
        try:
            known = self._operations.get(key)
        except TypeError:  # a parameter, or a constant, cannot be hashed
            return self._operation_cost(equation, constants)
        if known is None:
            known = self._operations[key] = self._operation_cost(equation, constants)
        return known

    def _operation_cost(self, equation: Any, constants: tuple[Any, ...]) -> _Cost:
        turns = self._further_turns(equation) if self._every_turn else 0
        folds = may_fold(equation, constants)
        if folds and SOME_CONSTANT in constants:
            return _Cost(0, turns, folds=True)
        rule = RULES.get(equation.primitive.name)
        ruled = rule(equation) if rule is not None and fits(equation) else None
        if ruled is not None and not folds:
            return _Cost(ruled)
        flops = _asked_alone(equation, constants)
        return _Cost(flops, turns, folds and not is_certain(equation, constants, costs=flops > 0))

    def _further_turns(self, equation: Any) -> int:
        """Count what the turns of scans add to XLA's number, which has one turn of each loop."""
        parameters = equation.params
        if equation.primitive.name == "scan":
            turn = sum(self._program(parameters["jaxpr"]))
            alone = _asked_alone(equation, (NO_CONSTANT,) * len(equation.invars))
            return int(parameters["length"] * turn - alone)
        if equation.primitive.name == "cond":  # the larger branch counts
            branches = [self._program(branch) for branch in parameters["branches"]]
            return max(map(sum, branches)) - max(flops for flops, _ in branches)
        called = list(called_jaxprs(equation))
        return sum(self._jaxpr(j, (NO_CONSTANT,) * len(j.invars)).turns for j in called)


def _has_constant_array(equation: Any, constants: tuple[Any, ...]) -> bool:
    return any(
        constant is not NO_CONSTANT and variable.aval.shape
        for variable, constant in zip(equation.invars, constants, strict=True)
    )


def _constant(variable: Any, known: dict[Any, Any]) -> Any:
    """Return a variable's constant, as `may_fold` takes it."""
    if not hasattr(variable, "val"):
        return known.get(variable, NO_CONSTANT)
    if variable.aval.shape:
        return SOME_CONSTANT
    return variable.val.item() if hasattr(variable.val, "item") else variable.val


def _key_marks(jaxpr: Any) -> int:
    """Count the marks of a program: JAX marks each PRNG key that it uses or returns, and XLA counts -1 for a mark."""
    readers = (*(equation.invars for equation in jaxpr.eqns), jaxpr.outvars)
    used = {variable for read in readers for variable in read if not hasattr(variable, "val")}
    return _keys(variable for variable in jaxpr.invars if variable in used) + _keys(jaxpr.outvars)


def _keys(variables: Iterable[Any]) -> int:
    return sum(jnp.issubdtype(v.aval.dtype, jax.dtypes.extended) for v in variables)


def _asked_alone(equation: Any, constants: tuple[Any, ...]) -> int:
    """Ask XLA for the FLOPs of an equation, as a function of its inputs but for those that are known to be numbers."""
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

    variables = {id(v): v for v in equation.invars}.values()
    return _asked(jax.jit(run).trace(inputs)) + _keys(variables) + _keys(equation.outvars)


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
