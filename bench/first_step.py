"""Measure the phases of a program up to the end of its first training step, in a new process.

Usage: first_step.py linen|flax|hand transformer|resnet|vit jit(init)|init|lazy_init

Prints seconds of CPU time by phase, and the number of programs that XLA compiled, as JSON. The import of JAX and the
creation of the input are excluded. After `lazy_init`, the process ends without a training step.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

LIBRARIES = {"linen": "linen_core", "flax": "flax.linen"}
MODELS = {
    "transformer": ((2, 16, 64), (2, 16, 64), {"depth": 24}),
    "resnet": ((1, 64, 64, 3), (1, 1000), {"stages": (3, 4, 6, 3)}),
    "vit": ((1, 64, 64, 3), (1, 1000), {"depth": 12}),
}
"""Shapes of the input and of the output, and the fields of a model."""


class Recorder:
    """Records CPU time and compilations by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.compilations: dict[str, int] = {}
        self.compiled = 0
        jax.monitoring.register_event_duration_secs_listener(self.on_duration)
        jax.monitoring.register_event_listener(self.on_event)

    def on_duration(self, event: str, _seconds: float, **_: Any) -> None:
        """Count a compilation, or the search for one in the persistent cache."""
        self.compiled += "backend_compile" in event

    def on_event(self, event: str, **_: Any) -> None:
        """Subtract a compilation that the persistent cache replaced."""
        self.compiled -= event == "/jax/compilation_cache/cache_hits"

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record a phase."""
        compiled, start = self.compiled, time.process_time()
        yield
        self.seconds[name] = time.process_time() - start
        self.compilations[name] = self.compiled - compiled


def functions(library: str, kind: str, way: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the initialisation and the application of a model."""
    _, _, fields = MODELS[kind]
    if library == "hand":
        create = functools.partial(getattr(importlib.import_module("hand_init"), kind), **fields)
        apply = functools.partial(getattr(importlib.import_module("hand"), kind), **fields)
        return (jax.jit(create) if way == "jit(init)" else create), apply
    nn = importlib.import_module(LIBRARIES[library])
    model = importlib.import_module("models").build(nn)[kind](**fields)
    init = model.lazy_init if way == "lazy_init" else model.init
    return (jax.jit(init) if way == "jit(init)" else init), model.apply


def main(library: str, kind: str, way: str) -> None:
    """Initialise a model, and train it for one step of gradient descent on a mean squared error."""
    shape, target, _ = MODELS[kind]
    record = Recorder()
    key = jax.random.key(0)
    x, y = jax.device_put((np.ones(shape, np.float32), np.ones(target, np.float32)))
    jax.block_until_ready((key, x, y))

    with record.phase("import"):
        init, apply = functions(library, kind, way)
    inputs = () if library == "hand" else (x,)
    if way == "lazy_init":
        inputs = (jax.ShapeDtypeStruct(shape, np.float32),)
    with record.phase("init"):
        variables = jax.block_until_ready(init(key, *inputs))
    if way != "lazy_init":
        run_step(record, apply, variables, x, y)
    print(json.dumps({"seconds": record.seconds, "compilations": record.compilations}))


def run_step(record: Recorder, apply: Callable[..., Any], variables: Any, x: Any, y: Any) -> None:
    """Trace, lower, compile and run a training step."""

    def loss(params: Any, rest: Any, x: Any, y: Any) -> Any:
        return ((apply({"params": params, **rest}, x) - y) ** 2).mean()

    def step(params: Any, rest: Any, x: Any, y: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(params, rest, x, y)
        return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients)

    rest = dict(variables)
    arguments = (rest.pop("params"), rest, x, y)
    with record.phase("trace"):
        traced = jax.jit(step).trace(*arguments)
    with record.phase("lower"):
        lowered = traced.lower()
    with record.phase("compile"):
        compiled = lowered.compile()
    with record.phase("first step"):
        jax.block_until_ready(compiled(*arguments))


if __name__ == "__main__":
    main(*sys.argv[1:])
