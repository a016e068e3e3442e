"""Multiply-accumulate operations of dots and convolutions."""

from __future__ import annotations

from typing import Any

from linen_summary.costs.flops import called_jaxprs, live_part, multiplications
from linen_summary.costs.measure import Measure
from linen_summary.text.values import short_number

__all__ = ["MACS", "count_macs"]


def count_macs(jaxpr: Any) -> int:
    """Count the multiply-accumulate operations of a jaxpr.

    The body of a scan counts once for each iteration, and a conditional counts as its larger branch. The number of
    iterations of a while loop is unknown before it runs, so its body counts once.
    """
    total = 0
    for equation in jaxpr.eqns:
        inner = [count_macs(called) for called in called_jaxprs(equation)]
        if equation.primitive.name == "cond":
            total += max(inner, default=0)
        else:
            total += multiplications(equation) + equation.params.get("length", 1) * sum(inner)
    return total


MACS = Measure(
    name="macs",
    label="MACs",
    header="MACs",
    argument="compute_macs",
    help="count multiply-accumulate operations",
    compute=lambda call: count_macs(live_part(call.forward.jaxpr.jaxpr)),
    text=short_number,
    includes_submodules=True,
)
