"""Compare Linen with its peers and print ratios to hand-written JAX.

Usage: run.py [--check] [--runs N] [--picture PATH] [PART OF A NAME ...]

`start` runs only if it is named: it takes several minutes. `--runs` and `--picture` belong to it.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as fnn
import hand
import jax
import jax.numpy as jnp
import models
import peers
import start
import stores
import tables
from processes import output_of
from timing import Benchmark, Figure, measure, traced

import linen_core as nn

LINEN = models.build(nn)
FLAX = models.build(fnn)
KEY = jax.random.key(0)
IMPORT_ROUNDS = 9
INIT_ROUNDS = 3


def applied(kind: str, by_hand: Callable[..., Any], x: Any, **fields: Any) -> Any:
    """Return programs that trace `apply` of a model."""
    variables = jax.eval_shape(LINEN[kind](**fields).init, KEY, x)
    return {
        "hand": traced(by_hand, variables, x),
        "linen": traced(LINEN[kind](**fields).apply, variables, x),
        "flax": traced(FLAX[kind](**fields).apply, variables, x),
    }


def mlp_apply() -> Any:
    """Trace `apply` of 100 dense layers."""
    x = jnp.ones((8, 64))
    programs = applied("mlp", hand.mlp, x, depth=100, features=64)
    for name, (fn, state) in peers.applied_mlps(100, 64, x).items():
        programs[name] = traced(fn, state, x)
    return programs


def transformer_apply() -> Any:
    """Trace `apply` of 24 transformer blocks."""
    by_hand = functools.partial(hand.transformer, depth=24)
    return applied("transformer", by_hand, jnp.ones((2, 16, 64)), depth=24)


def resnet_apply() -> Any:
    """Trace `apply` of ResNet-50."""
    by_hand = functools.partial(hand.resnet, stages=models.STAGES)
    return applied("resnet", by_hand, jnp.ones((1, 64, 64, 3)))


def scan_apply() -> Any:
    """Trace a scan over 24 transformer blocks."""
    return applied("scanned", hand.scanned, jnp.ones((2, 16, 64)), depth=24)


def wrapped_apply(wrap: str, by_hand: Callable[..., Any]) -> Any:
    """Trace 24 transformer blocks, each under a transform."""
    x = jnp.ones((2, 16, 64))
    variables = jax.eval_shape(LINEN["transformer"](24).init, KEY, x)

    def uncached(block: Callable[..., Any]) -> Callable[..., Any]:
        return by_hand(lambda *args: block(*args))  # noqa: PLW0108 - JAX caches by function

    return {
        "hand": traced(functools.partial(hand.transformer, depth=24, wrap=uncached), variables, x),
        "linen": _traced_uncached(LINEN["transformer"], nn, wrap, variables, x),
        "flax": _traced_uncached(FLAX["transformer"], fnn, wrap, variables, x),
    }


def _traced_uncached(model: Any, library: Any, wrap: str, variables: Any, x: Any) -> Any:
    """Return a program that traces a model with a new transformed class each time: a cache would hide the cost."""

    def program() -> Any:
        transformed: dict[Any, Any] = {}

        def once(block: Any) -> Any:
            return transformed.setdefault(block, getattr(library, wrap)(block))

        return traced(model(24, wrap=once).apply, variables, x)()

    return program


def mlp_eager() -> Any:
    """Run `apply` of 4 dense layers, 20 times, without jit."""
    x = jnp.ones((8, 64))
    variables = LINEN["mlp"](4, 64).init(KEY, x)
    calls = {
        "hand": (hand.mlp, variables),
        "linen": (LINEN["mlp"](4, 64).apply, variables),
        "flax": (FLAX["mlp"](4, 64).apply, variables),
        **peers.applied_mlps(4, 64, x),
    }

    def repeated(fn: Callable[..., Any], state: Any) -> Callable[[], Any]:
        return lambda: [fn(state, x) for _ in range(20)]

    return {name: repeated(fn, state) for name, (fn, state) in calls.items()}


def tanh_eager() -> Any:
    """Run `apply` of 4 dense layers with tanh, 20 times, without jit."""
    x = jnp.ones((8, 64))
    models_of = {"linen": LINEN["mlp"](4, 64, act="tanh"), "flax": FLAX["mlp"](4, 64, act="tanh")}
    variables = models_of["linen"].init(KEY, x)
    calls: dict[str, Callable[..., Any]] = {name: m.apply for name, m in models_of.items()}
    calls["hand"] = functools.partial(hand.mlp, act=jnp.tanh)

    def repeated(fn: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: [fn(variables, x) for _ in range(20)]

    return {name: repeated(fn) for name, fn in calls.items()}


def mlp_init() -> Any:
    """Trace `init` of 100 dense layers."""
    x = jnp.ones((8, 64))
    calls: dict[str, Any] = {
        "hand": lambda key: hand.init_mlp(key, x, 100, 64),
        "linen": lambda key: LINEN["mlp"](100, 64).init(key, x),
        "flax": lambda key: FLAX["mlp"](100, 64).init(key, x),
        **peers.initialised_mlps(100, 64, x),
    }
    return {name: traced(fn, KEY) for name, fn in calls.items()}


def depth_apply() -> Any:
    """Trace `apply` of 2,000 dense layers; the base is ten times 200 layers."""
    x = jnp.ones((8, 8))

    def program(depth: int, times: int) -> Callable[[], Any]:
        model = LINEN["mlp"](depth, 8)
        variables = jax.eval_shape(model.init, KEY, x)
        return lambda: [traced(model.apply, variables, x)() for _ in range(times)]

    return {"10 x 200 layers": program(200, 10), "linen": program(2000, 1)}


BENCHMARKS = {
    "mlp apply": Benchmark(mlp_apply, 0.6),
    "transformer apply": Benchmark(transformer_apply, 0.7),
    "resnet apply": Benchmark(resnet_apply, 0.7),
    "mlp eager": Benchmark(mlp_eager, 1.25),
    "mlp eager, tanh": Benchmark(tanh_eager, 1.25),
    "mlp init": Benchmark(mlp_init, 1.0),
    "depth apply": Benchmark(depth_apply, 1.25, base="10 x 200 layers", rounds=5),
    "scan apply": Benchmark(scan_apply, 1.25),
    "remat apply": Benchmark(
        lambda: wrapped_apply("remat", jax.checkpoint), 10, also={"flax": 0.4}
    ),
    "jit apply": Benchmark(lambda: wrapped_apply("jit", lambda fn: fn), 0.35),
    "mlp table": Benchmark(lambda: tables.mlp_tables(flops=False), 0.5, base="flax", rounds=5),
    "mlp table with FLOPs": Benchmark(
        lambda: tables.mlp_tables(flops=True), 0.1, base="flax", rounds=2
    ),
    "transformer table": Benchmark(
        lambda: tables.transformer_tables(flops=False), 0.5, base="flax", rounds=5
    ),
    "transformer table with FLOPs": Benchmark(
        lambda: tables.transformer_tables(flops=True), 0.1, base="flax", rounds=2
    ),
    "resnet table": Benchmark(
        lambda: tables.resnet_tables(flops=False), 0.5, base="flax", rounds=5
    ),
    "resnet table with FLOPs": Benchmark(
        lambda: tables.resnet_tables(flops=True), 0.25, base="flax", rounds=2
    ),
    **stores.BENCHMARKS,
}


def verdict(met: bool) -> str:
    """Render whether a target is met."""
    return "yes" if met else "NO"


def imported(module: str, over: str = "jax") -> float:
    """Return the seconds of CPU time that a new process needs to import a module after another one."""
    code = (
        f"import time, sys\nimport {over}\nstart = time.process_time()\n"
        f"import {module}\nprint(time.process_time() - start)"
    )
    settings = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=settings)
    return float(done.stdout)


def import_figures(modules: dict[str, str], over: str) -> dict[str, float]:
    """Return the import times of modules after another one, in milliseconds: medians, with cached bytecode."""
    times: dict[str, list[float]] = {name: [] for name in modules}
    for module in modules.values():
        imported(module, over)
    for _ in range(IMPORT_ROUNDS):
        for name, module in modules.items():
            times[name].append(imported(module, over))
    return {name: 1000 * sorted(taken)[len(taken) // 2] for name, taken in times.items()}


def imports() -> bool:
    """Print the import times of Linen and its peers after JAX."""
    names = {"linen": "linen_core", "flax": "flax.linen", "equinox": "equinox", "haiku": "haiku"}
    return show_imports("import over jax", import_figures(names, "jax"), 40)


def store_imports() -> bool:
    """Print the import times of linen-store and its peers after Linen."""
    names = {"linen": "linen_store", "orbax v0": "orbax.checkpoint", "flax": "flax.training"}
    return show_imports("store import over core", import_figures(names, "linen_core"), 30)


def show_imports(title: str, times: dict[str, float], target: float) -> bool:
    """Print import times and return whether Linen meets its target."""
    met = times["linen"] <= target
    print(f"{title}, ms of CPU time: Linen at most {target}: {verdict(met)}")
    print("  " + "  ".join(f"{name} {value:.0f}" for name, value in times.items()))
    return met


def sharded_reads() -> bool:
    """Print the times to read checkpoints onto eight devices; return whether Linen meets its targets."""
    all_met = True
    for size in ("small", "large"):
        found = json.loads(output_of("sharded_read.py", size))
        times, peak = found["times"], found["peak"]
        base = times["orbax v1"]
        met = times["linen"] <= 0.4 * base and peak <= 1.1
        all_met &= met
        print(
            f"store sharded, {size}: Linen at most 0.4 x orbax v1, memory at most 1.1 x the result: {verdict(met)}"
        )
        for name, taken in times.items():
            print(f"  {name:18s} {taken / base:6.2f}  ({1000 * taken:.2f} ms)")
        print(f"  memory of linen    {peak:6.2f}")
    return all_met


def stacked_reads() -> bool:
    """Print the memory to read 24 layers of 64 MiB as stacks; return whether Linen meets its target."""
    all_met = True
    for kind in ("linen", "safetensors"):
        path = stores.written(kind, (24, (4096, 4096)))
        # Memory that is released goes back to the system at once; the next program could use it unseen otherwise.
        output = output_of("stacked_read.py", path, settings={"MALLOC_MMAP_THRESHOLD_": "65536"})
        peaks = json.loads(output)
        met = max(peaks.values()) <= 1.15
        all_met &= met
        print(f"store stacked, {kind}: memory at most 1.15 x the result: {verdict(met)}")
        for name, peak in peaks.items():
            print(f"  {name:18s} {peak:6.2f}")
    return all_met


def saves() -> bool:
    """Print the times to save from one and two processes; return whether Linen meets its targets."""
    all_met = True
    for count in ("1", "2"):
        for size in ("small", "large"):
            times = json.loads(output_of("saves.py", count, size))
            base = times["orbax v1"]
            met = times["linen"] <= 1.1 * base
            all_met &= met
            print(
                f"store save, {size}, {count} processes: Linen at most 1.1 x orbax v1: {verdict(met)}"
            )
            for name, taken in times.items():
                print(f"  {name:18s} {taken / base:6.2f}  ({1000 * taken:.2f} ms)")
    return all_met


def first_inits() -> bool:
    """Print the time of a transformer's first initialisation in a new process; return whether Linen meets its targets.

    The second target limits the growth of compilation with depth: the first run minus the second.
    """
    totals: dict[str, float] = {}
    rest: dict[str, float] = {}
    for run in ("flax 24", "linen 24", "linen 96", "flax 24 sharded", "linen 24 sharded"):
        outputs = [output_of("first_init.py", *run.split()) for _ in range(INIT_ROUNDS)]
        times = sorted(tuple(map(float, output.split())) for output in outputs)
        totals[run], again = times[INIT_ROUNDS // 2]
        rest[run] = totals[run] - again
    ratio, growth = totals["linen 24"] / totals["flax 24"], rest["linen 96"] / rest["linen 24"]
    sharded = totals["linen 24 sharded"] / totals["flax 24 sharded"]
    met = ratio <= 0.3 and growth <= 1.3 and sharded <= 0.25
    print(
        "first init: 24 blocks at most 0.3 x flax, 0.25 x over 8 devices, 96 at most 1.3 x 24: "
        f"{verdict(met)}"
    )
    print(
        f"  {ratio:.2f} x flax's jit(init), {sharded:.2f} x over 8 devices, {growth:.2f} x in compilation; "
        "seconds of CPU time:",
        end="",
    )
    print("".join(f"  {run} {taken:.2f}" for run, taken in totals.items()))
    return met


def cold_traces() -> bool:
    """Print the time of the first trace of 100 dense layers in a new process; return whether Linen meets its target."""
    times: dict[str, list[float]] = {name: [] for name in ("hand", "linen", "flax")}
    for _ in range(IMPORT_ROUNDS):
        for name, taken in times.items():
            taken.append(float(output_of("cold_trace.py", name, "mlp", "apply")))
    medians = {name: sorted(taken)[len(taken) // 2] for name, taken in times.items()}
    met = medians["linen"] <= 0.75 * medians["hand"]
    print(f"cold mlp apply: Linen at most 0.75 x hand: {verdict(met)}")
    for name, taken in medians.items():
        print(f"  {name:18s} {taken / medians['hand']:6.2f}  ({1000 * taken:.2f} ms)")
    return met


OTHERS = {
    "cold mlp apply": cold_traces,
    "import": imports,
    "first init": first_inits,
    "store import": store_imports,
    "store save": saves,
    "store sharded": sharded_reads,
    "store stacked": stacked_reads,
}


def show(title: str, figures: dict[str, Figure], benchmark: Benchmark) -> bool:
    """Print the figures of a benchmark and return whether Linen meets its targets."""
    base, taken = figures[benchmark.base].median, figures["linen"].median
    targets = {benchmark.base: benchmark.target, **benchmark.also}
    met = all(taken <= target * figures[name].median for name, target in targets.items())
    listed = ", ".join(f"{target} x {name}" for name, target in targets.items())
    if benchmark.limit_ms is not None:
        met &= 1000 * taken <= benchmark.limit_ms
        listed += f", {benchmark.limit_ms:g} ms"
    print(f"{title}: Linen at most {listed}: {verdict(met)}")
    for name, figure in figures.items():
        spread = f"{figure.low / base:.2f} to {figure.high / base:.2f}"
        print(
            f"  {name:18s} {figure.median / base:6.2f}  ({spread}; {1000 * figure.median:.2f} ms, "
            f"{1000 * figure.wall:.2f} wall)"
        )
    return met


def main(*arguments: str) -> None:
    """Run the benchmarks whose names contain one of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--picture", type=pathlib.Path)
    options = parser.parse_args(arguments)
    versions = {name: importlib.import_module(name).__version__ for name in ("jax", "flax")}
    print(f"CPU time, median (quartiles) as multiples of the base; {versions}")
    missed = []
    for title in [*BENCHMARKS, *OTHERS]:
        if options.names and not any(part in title for part in options.names):
            continue
        if title in OTHERS:
            met = OTHERS[title]()
        else:
            benchmark = BENCHMARKS[title]
            met = show(title, measure(benchmark.programs(), benchmark.rounds), benchmark)
        missed += [] if met else [title]
    if "start" in options.names and not start.show(options.runs, options.picture):
        missed.append("start")
    if options.check and missed:
        sys.exit(f"Missed: {', '.join(missed)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
