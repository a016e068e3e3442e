"""Compares the time to the end of the first training step, in new processes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import start_chart
from processes import output_of

__all__ = ["show"]

WORKERS = 2
MODELS = {"transformer": "24 blocks", "resnet": "ResNet-50", "vit": "ViT"}
LIBRARIES = {"linen": "Linen", "flax": "flax", "hand": "by hand"}
WAYS = ("jit(init)", "init", "lazy_init")
INIT_TARGETS = {"transformer": 0.1, "resnet": 0.1}
TOTAL_TARGETS = {"transformer": 0.4, "resnet": 0.6}
COMPILATIONS = 6
PHASES = ("import", "init", "trace", "lower", "compile", "first step")


@dataclasses.dataclass(frozen=True)
class Case:
    """A process to measure."""

    kind: str
    way: str
    warm: bool
    library: str

    def run(self, folder: str) -> dict[str, Any]:
        """Measure the process once, with a folder for the persistent cache of compilations."""
        settings = {
            "JAX_ENABLE_COMPILATION_CACHE": str(self.warm).lower(),
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/{self.library} {self.kind} {self.way}",
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        output = output_of("first_step.py", self.library, self.kind, self.way, settings=settings)
        return json.loads(output)


@dataclasses.dataclass(frozen=True)
class Result:
    """Medians of a process."""

    seconds: dict[str, float]
    """CPU time by phase."""
    total: float
    low: float
    high: float
    compilations: int
    """Programs that `init` compiled."""
    all_compilations: int


def cases() -> Iterator[Case]:
    """Yield the processes to measure. The rows of the tables follow this order."""
    for kind in MODELS:
        for warm in (False, True):
            for way in WAYS[: 2 if warm else 3]:
                for library in LIBRARIES:
                    if library != "hand" or not (warm or way == "lazy_init"):
                        yield Case(kind, way, warm, library)


def measured(runs: int) -> dict[Case, Result]:
    """Measure all processes, two at a time and in a random order in each round."""
    found: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases()}
    shuffle = random.Random(0)  # noqa: S311 - nothing secret
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda case: case.run(folder), [case for case in found if case.warm]))
        for number in range(runs):
            names = [case for case in found if case.library != "hand" or number == 0]
            shuffle.shuffle(names)
            for case, output in zip(names, pool.map(lambda c: c.run(folder), names), strict=True):
                found[case].append(output)
            print(f"  run {number + 1} of {runs} is complete", file=sys.stderr, flush=True)
    return {case: result(outputs) for case, outputs in found.items()}


def result(outputs: list[dict[str, Any]]) -> Result:
    """Return the medians of several runs of a process."""
    seconds = {
        phase: statistics.median(output["seconds"][phase] for output in outputs)
        for phase in PHASES
        if phase in outputs[0]["seconds"]
    }
    totals = [sum(output["seconds"].values()) for output in outputs]
    compiled = [output["compilations"] for output in outputs]
    return Result(
        seconds,
        statistics.median(totals),
        min(totals),
        max(totals),
        max(counts["init"] for counts in compiled),
        max(sum(counts.values()) for counts in compiled),
    )


def phase_table(results: dict[Case, Result]) -> None:
    """Print the seconds of each phase, and the ratios to flax."""
    for (kind, way, warm, library), found in by_fields(results):
        if library == "linen":
            heads = "".join(f"{phase:>15}" for phase in (*PHASES, "total"))
            print(f"\n{title(kind, way, warm):34s}{heads}  total, low to high  compilations")
        base = results[Case(kind, way, warm, "flax")]
        cells = [ratio(found.seconds.get(name), base.seconds.get(name)) for name in PHASES]
        cells.append(ratio(found.total, base.total))
        row = "".join(f"{cell:>15}" for cell in cells)
        counts = f"{found.compilations} in init, {found.all_compilations} in all"
        print(f"  {LIBRARIES[library]:32s}{row}  {found.low:7.2f} to {found.high:5.2f}   {counts}")


def by_fields(results: dict[Case, Result]) -> Iterator[tuple[tuple[Any, ...], Result]]:
    """Yield the fields of each case with its result."""
    for case, found in results.items():
        yield dataclasses.astuple(case), found


def title(kind: str, way: str, warm: bool) -> str:
    """Return the name of a group of processes."""
    return f"{MODELS[kind]}, {way}{', warm cache' if warm else ''}"


def ratio(taken: float | None, base: float | None) -> str:
    """Render seconds and their ratio to flax."""
    return "" if taken is None or base is None else f"{taken:.2f} ({taken / base:.2f})"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the summary."""

    name: str
    linen: str
    flax: str
    hand: str
    ratio: float
    target: float | None

    @property
    def met(self) -> bool:
        """Return whether the target, if any, is met."""
        return self.target is None or self.ratio <= self.target


def summary(results: dict[Case, Result]) -> list[Row]:
    """Return the rows of the summary: for each model, the initialisations, then the totals."""
    rows = []
    for kind in MODELS:
        rows += [init_row(results, kind, way) for way in WAYS]
        rows += [total_row(results, kind, way, warm) for warm in (False, True) for way in WAYS[:2]]
    return rows


def init_row(results: dict[Case, Result], kind: str, way: str) -> Row:
    """Return the row of one way to initialise a model."""
    taken = [results.get(Case(kind, way, False, library)) for library in LIBRARIES]
    texts = [f"{one.seconds['init']:.2f}, {one.compilations}" if one else "" for one in taken]
    part = taken[0].seconds["init"] / taken[1].seconds["init"]
    return Row(f"{MODELS[kind]}: `{way}`", *texts, part, INIT_TARGETS.get(kind))


def total_row(results: dict[Case, Result], kind: str, way: str, warm: bool) -> Row:
    """Return the row of the time to the end of the first step."""
    taken = [results.get(Case(kind, way, warm, library)) for library in LIBRARIES]
    texts = [f"{one.total:.2f}" if one else "" for one in taken]
    name = f"{MODELS[kind]}: total with `{way}`{', warm cache' if warm else ''}"
    part = taken[0].total / taken[1].total
    return Row(name, *texts, part, None if warm else TOTAL_TARGETS.get(kind))


def verdicts(results: dict[Case, Result], rows: list[Row]) -> bool:
    """Print one line for each target and return whether Linen meets all of them."""
    lines = [
        (f"{row.name.replace('`', '')}: at most {row.target} x flax", row.met, f"{row.ratio:.2f}")
        for row in rows
        if row.target is not None
    ]
    for kind in INIT_TARGETS:
        most = max(results[Case(kind, way, False, "linen")].compilations for way in WAYS)
        name = f"{MODELS[kind]}: init compiles at most {COMPILATIONS} programs"
        lines.append((name, most <= COMPILATIONS, str(most)))
    print()
    for name, met, value in lines:
        print(f"{name}: {'yes' if met else 'NO'} {value}")
    return all(met for _, met, _ in lines)


def show(runs: int, picture: pathlib.Path | None) -> bool:
    """Print the times to the first step, write a picture, and return whether Linen meets its targets."""
    print(f"start: new processes, seconds of CPU time (ratio to flax), medians of {runs} runs;")
    print(f"  {WORKERS} processes at a time; one run by hand; without `import jax`")
    results = measured(runs)
    phase_table(results)
    rows = summary(results)
    print(
        "\n| seconds of CPU time (init: and compilations) | Linen | flax | Linen / flax | target | by hand |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        target = "" if row.target is None else f"{row.target}{'' if row.met else ', missed'}"
        print(
            f"| {row.name} | {row.linen} | {row.flax} | {row.ratio:.2f} | {target} | {row.hand} |"
        )
    if picture is not None:
        groups: dict[str, dict[str, dict[str, float]]] = {}
        for (kind, way, warm, library), found in by_fields(results):
            if way != "lazy_init":
                groups.setdefault(title(kind, way, warm), {})[LIBRARIES[library]] = found.seconds
        picture.write_text(start_chart.drawn(groups, PHASES), "utf-8")
    return verdicts(results, rows)
