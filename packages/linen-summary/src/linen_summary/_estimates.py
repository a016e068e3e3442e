"""What can be read off a trace beside FLOPs: multiplications, and the memory that values take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from linen_summary._operations import multiplications

__all__ = ["called_jaxprs", "macs", "peak_bytes"]


def macs(jaxpr: Any) -> int:
    """Count the multiply-accumulate operations of dots and convolutions.

    A scan counts as often as it runs its body, a conditional with its larger branch. How often a while loop runs is
    not known before it does: it counts once.
    """
    total = 0
    for equation in jaxpr.eqns:
        inner = [macs(called) for called in called_jaxprs(equation)]
        if equation.primitive.name == "cond":
            total += max(inner, default=0)
        else:
            total += multiplications(equation) + equation.params.get("length", 1) * sum(inner)
    return total


def peak_bytes(jaxpr: Any, *, with_results: bool = True) -> int:
    """Estimate the most bytes that the values made on the way take at once.

    The equations run in their order, each result is stored, and freed after its last use, what is handed to a call
    after the call. Inputs, parameters among them, are not counted. It is an estimate: a compiler fuses operations,
    whose results are then never stored, and may reorder them.

    Args:
      jaxpr: the trace.
      with_results: whether what it returns counts too.
    """
    results = [not with_results] * len(jaxpr.outvars)
    return _peak(jaxpr, results)


def _peak(jaxpr: Any, skipped: Sequence[bool]) -> int:
    """Estimate the peak, without the results that are skipped."""
    counted = _counted(jaxpr, skipped)
    last = {
        variable: place
        for place, equation in enumerate(jaxpr.eqns)
        for variable in equation.invars
        if not hasattr(variable, "val")
    }
    results = {variable for variable in jaxpr.outvars if not hasattr(variable, "val")}
    alive = peak = 0
    for place, equation in enumerate(jaxpr.eqns):
        peak = max(peak, alive + _peak_of_equation(equation, counted))
        alive += sum(counted.get(v, 0) for v in equation.outvars if v in last or v in results)
        alive -= sum(
            counted.get(variable, 0)
            for variable in {v for v in equation.invars if not hasattr(v, "val")}
            if last[variable] == place and variable not in results
        )
    return peak


def _peak_of_equation(equation: Any, counted: Mapping[Any, int]) -> int:
    """Estimate the peak of what an equation makes, and what is made on the way to it."""
    made = sum(counted.get(variable, 0) for variable in equation.outvars)
    called = list(called_jaxprs(equation))
    if len(called) == 1 and equation.primitive.name not in ("scan", "while"):
        return max(made, _peak(called[0], [v not in counted for v in equation.outvars]))
    return made + max((_peak(j, [True] * len(j.outvars)) for j in called), default=0)


def _counted(jaxpr: Any, skipped: Sequence[bool]) -> dict[Any, int]:
    """Give the bytes of each value that an equation makes."""
    left_out = {
        variable
        for variable, is_skipped in zip(jaxpr.outvars, skipped, strict=False)
        if is_skipped and not hasattr(variable, "val")
    }
    return {
        variable: variable.aval.size * variable.aval.dtype.itemsize
        for equation in jaxpr.eqns
        for variable in equation.outvars
        if hasattr(variable.aval, "size") and variable not in left_out
    }


def called_jaxprs(equation: Any) -> Iterator[Any]:
    """Give the jaxprs that an equation holds; a rule for derivatives is none."""
    for value in equation.params.values():
        for held in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(held, "jaxpr", held)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr
