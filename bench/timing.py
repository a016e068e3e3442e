"""Time of several programs, taken in turns, so that drifts of the machine hit all alike."""

from __future__ import annotations

import dataclasses
import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

__all__ = ["Benchmark", "Figure", "measure", "once", "traced"]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Programs to compare, by name."""

    programs: Callable[[], dict[str, Callable[[], Any]]]
    bar: float
    """The most that Linen may take, as a multiple of the base."""
    base: str = "hand"
    """What the others are divided by."""
    rounds: int = 15
    also: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """More bars, by what they are multiples of."""
    limit_ms: float | None = None
    """The most that Linen may take, in milliseconds."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """What one program took: seconds of CPU time, of all its threads."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""
    wall: float
    """The median of the time that passed."""


def measure(programs: Mapping[str, Callable[[], Any]], rounds: int = 15) -> dict[str, Figure]:
    """Time programs by turns, after a round that does not count."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    names, shuffle = list(programs), random.Random(0)  # noqa: S311 - nothing secret
    for turn in range(rounds + 1):
        # In another order each time: what one leaves behind, in memory above all, is not always to
        # the good or the bad of the same.
        for name in shuffle.sample(names, len(names)):
            taken = once(programs[name])
            if turn:
                times[name].append(taken)
    return {name: _figure(taken) for name, taken in times.items()}


def once(program: Callable[[], Any]) -> tuple[float, float]:
    """Time one run of a program, CPU and wall, with the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        passed, start = time.perf_counter(), time.process_time()
        result = program()
        taken = time.process_time() - start, time.perf_counter() - passed
        del result
    finally:
        gc.enable()
    return taken


def _figure(times: list[tuple[float, float]]) -> Figure:
    low, median, high = statistics.quantiles([cpu for cpu, _ in times], n=4)
    return Figure(median, low, high, statistics.median(wall for _, wall in times))


def traced(fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """A program that traces a function; JAX remembers traces by function, so each run takes a new one."""
    return lambda: jax.make_jaxpr(lambda *args: fn(*args))(*args)  # noqa: PLW0108 - see above
