"""Estimates of the memory that activations need, in a forward run and in a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from linen_summary.costs.flops import called_jaxprs, live_part
from linen_summary.costs.measure import Measure
from linen_summary.text.values import bytes_text

__all__ = ["ACTIVATION_BYTES", "TRAINING_BYTES", "peak_bytes"]


def peak_bytes(jaxpr: Any, *, with_results: bool = True) -> int:
    """Estimate the peak memory of the values that a jaxpr computes, in bytes.

    The estimate assumes that equations run in order, that each result is stored, and that it is freed after its last
    use. A value passed to a call is freed after the call. Inputs, which include parameters, do not count. A compiler
    fuses and reorders operations, so a program may need less or more.

    Args:
      jaxpr: the trace.
      with_results: whether the results of the jaxpr count.
    """
    return _peak(jaxpr, [not with_results] * len(jaxpr.outvars))


def _peak(jaxpr: Any, skipped: Sequence[bool]) -> int:
    """Estimate the peak without the results that are skipped."""
    sizes = _sizes_of_values(jaxpr, skipped)
    last_use = {
        variable: place
        for place, equation in enumerate(jaxpr.eqns)
        for variable in equation.invars
        if not hasattr(variable, "val")
    }
    results = {variable for variable in jaxpr.outvars if not hasattr(variable, "val")}
    alive = peak = 0
    for place, equation in enumerate(jaxpr.eqns):
        peak = max(peak, alive + _peak_of_equation(equation, sizes))
        alive += sum(sizes.get(v, 0) for v in equation.outvars if v in last_use or v in results)
        alive -= sum(
            sizes.get(variable, 0)
            for variable in {v for v in equation.invars if not hasattr(v, "val")}
            if last_use[variable] == place and variable not in results
        )
    return peak


def _peak_of_equation(equation: Any, sizes: Mapping[Any, int]) -> int:
    """Estimate the peak of the results of an equation, and of the values in the jaxprs that it calls."""
    results = sum(sizes.get(variable, 0) for variable in equation.outvars)
    called = list(called_jaxprs(equation))
    if len(called) == 1 and equation.primitive.name not in ("scan", "while"):
        return max(results, _peak(called[0], [v not in sizes for v in equation.outvars]))
    return results + max((_peak(j, [True] * len(j.outvars)) for j in called), default=0)


def _sizes_of_values(jaxpr: Any, skipped: Sequence[bool]) -> dict[Any, int]:
    """Return the bytes of each value that an equation computes."""
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


_NOTE = "Estimates of activation memory, from the trace: every result is stored until its last use."

ACTIVATION_BYTES = Measure(
    name="activation_bytes",
    label="activation memory",
    header="forward\nestimate",
    argument="compute_memory",
    help="estimate the memory of activations",
    compute=lambda call: peak_bytes(live_part(call.forward.jaxpr.jaxpr)),
    text=bytes_text,
    estimate_note=_NOTE,
)
TRAINING_BYTES = Measure(
    name="training_bytes",
    label="activation memory in training",
    header="training\nestimate",
    argument="compute_memory",
    help=ACTIVATION_BYTES.help,
    compute=lambda call: peak_bytes(live_part(call.backward.jaxpr.jaxpr), with_results=False),
    text=bytes_text,
    estimate_note=_NOTE,
)
