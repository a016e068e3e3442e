"""What can be read off a trace beside FLOPs: multiplications, and the memory that values take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from linen_summary._operations import multiplications

__all__ = ["macs", "peak_bytes"]


def macs(jaxpr: Any) -> int:
    """Count the multiply-accumulate operations of dots and convolutions.

    A scan counts as often as it runs its body, a conditional with its larger branch. How often a while loop runs is
    not known before it does: it counts once.
    """
    total = 0
    for equation in jaxpr.eqns:
        inner = [macs(called) for called in _called(equation)]
        if equation.primitive.name == "cond":
            total += max(inner, default=0)
        else:
            total += multiplications(equation) + equation.params.get("length", 1) * sum(inner)
    return total


def peak_bytes(jaxpr: Any, *, with_results: bool = True) -> int:
    """Estimate the most bytes that the values made on the way take at once.

    The equations run in their order, each result is stored, and freed after its last use. Inputs, parameters among
    them, are not counted. It is an estimate: a compiler fuses operations, whose results are then never stored, and
    may reorder them.

    Args:
      jaxpr: the trace.
      with_results: whether what it returns counts too.
    """
    counted = _counted(jaxpr, with_results=with_results)
    last = {
        variable: place
        for place, equation in enumerate(jaxpr.eqns)
        for variable in equation.invars
        if not hasattr(variable, "val")
    }
    results = {variable for variable in jaxpr.outvars if not hasattr(variable, "val")}
    alive = peak = 0
    for place, equation in enumerate(jaxpr.eqns):
        made = sum(counted.get(variable, 0) for variable in equation.outvars)
        inside = max(
            (peak_bytes(called, with_results=False) for called in _called(equation)), default=0
        )
        peak = max(peak, alive + made + inside)
        alive += sum(counted.get(v, 0) for v in equation.outvars if v in last or v in results)
        alive -= sum(
            counted.get(variable, 0)
            for variable in {v for v in equation.invars if not hasattr(v, "val")}
            if last[variable] == place and variable not in results
        )
    return peak


def _counted(jaxpr: Any, *, with_results: bool) -> dict[Any, int]:
    """Give the bytes of each value that an equation makes."""
    skipped = () if with_results else [v for v in jaxpr.outvars if not hasattr(v, "val")]
    return {
        variable: variable.aval.size * variable.aval.dtype.itemsize
        for equation in jaxpr.eqns
        for variable in equation.outvars
        if hasattr(variable.aval, "size") and variable not in skipped
    }


def _called(equation: Any) -> Iterator[Any]:
    """Give the jaxprs that an equation holds; a rule for derivatives is none."""
    for value in equation.params.values():
        for held in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(held, "jaxpr", held)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr
