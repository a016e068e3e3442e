"""Measures several programs alternately, because the speed of a machine changes with time."""

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
    """Programs to compare, and the targets of Linen."""

    programs: Callable[[], dict[str, Callable[[], Any]]]
    """Creates the programs by name."""
    target: float
    """The upper limit for the time of Linen, as a multiple of the base."""
    base: str = "hand"
    """The program that all times are divided by."""
    rounds: int = 15
    also: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Further targets, as multiples of other programs."""
    limit_ms: float | None = None
    """A further target in milliseconds."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """Time of one program: seconds of CPU time of all its threads, except for `wall`."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""
    wall: float
    """The median of the wall time."""


def measure(programs: Mapping[str, Callable[[], Any]], rounds: int = 15) -> dict[str, Figure]:
    """Measure programs alternately, after a warm-up round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    names, shuffle = list(programs), random.Random(0)  # noqa: S311 - nothing secret
    for turn in range(rounds + 1):
        # A different order in each round: a program affects the next one, above all by the memory that it leaves.
        for name in shuffle.sample(names, len(names)):
            taken = once(programs[name])
            if turn:
                times[name].append(taken)
    return {name: _figure(taken) for name, taken in times.items()}


def once(program: Callable[[], Any]) -> tuple[float, float]:
    """Return CPU and wall time of one run of a program, with the garbage collector off."""
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
    """Return a program that traces a function. JAX caches traces by function, so each run creates a new one."""
    return lambda: jax.make_jaxpr(lambda *args: fn(*args))(*args)  # noqa: PLW0108 - see above
