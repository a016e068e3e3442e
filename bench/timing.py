"""CPU time of several programs, taken in turns, so that drifts of the machine hit all alike."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

__all__ = ["Figure", "measure", "once", "traced"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """What one program took: seconds of CPU time."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""


def measure(programs: Mapping[str, Callable[[], Any]], rounds: int = 15) -> dict[str, Figure]:
    """Time programs by turns, after a round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            taken = once(program)
            if turn:
                times[name].append(taken)
    return {name: _figure(taken) for name, taken in times.items()}


def once(program: Callable[[], Any]) -> float:
    """Time one run of a program, with the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        program()
        return time.process_time() - start
    finally:
        gc.enable()


def _figure(times: list[float]) -> Figure:
    low, median, high = statistics.quantiles(times, n=4)
    return Figure(median, low, high)


def traced(fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A program that traces a function; JAX remembers traces by function, so each run takes a new one."""
    return lambda: jax.make_jaxpr(lambda *args: fn(*args))(*args)  # noqa: PLW0108 - see above
