"""Scales of initializers as arguments of programs: initializers that differ in scale then have equal programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from linen_core.deferred.program import Program, Step

__all__ = ["pruned", "split_scales"]

# IEEE 754 defines the results of these operations to the last bit: NumPy computes what a compiler folds.
_EXACT: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "div": np.divide,
    "mul": np.multiply,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "sub": np.subtract,
}


def split_scales(program: Program) -> tuple[Program, list[Any]]:
    """Turn the constant factors of a program that it computes from other constants into arguments.

    An example is the standard deviation ``sqrt(1 / fan_in) / 0.88``. A program that multiplies twice keeps them: the
    compiler multiplies two constants with each other first.

    Returns:
      The program, and the values of the arguments that come after its other arguments.
    """
    if program.multiplies_twice():
        return program, []
    values = {
        slot: np.frombuffer(data, dtype)[0]
        for slot, data, dtype in program.constants
        if dtype in ("float32", "float64")
    }
    computed = []
    for step in program.steps:
        function = None if step.primitive is None else _EXACT.get(step.primitive.name)
        if function and not step.is_full and all(slot in values for slot in step.inputs):
            values[step.outputs[0]] = function(*(values[slot] for slot in step.inputs))
            computed.append(step.outputs[0])
    scales = [slot for slot in computed if all(map(_scales, _users(program, slot)))]
    steps = tuple(step for step in program.steps if not set(scales).intersection(step.outputs))
    arguments = program.arguments + tuple(scales)
    changed = dataclasses.replace(program, steps=steps, arguments=arguments)
    return pruned(changed), [np.asarray(values[slot]) for slot in scales]


def _users(program: Program, slot: int) -> list[Step]:
    return [step for step in program.steps if slot in step.inputs]


def _scales(step: Step) -> bool:
    """Return whether a step multiplies each element by something."""
    return step.is_full and step.primitive is not None and step.primitive.name == "mul"


def pruned(program: Program) -> Program:
    """Remove the steps, constants and arguments that the result does not need."""
    used = {program.result}
    steps = []
    for step in reversed(program.steps):
        if used.intersection(step.outputs):
            steps.append(step)
            used.update(step.inputs)
    return dataclasses.replace(
        program,
        steps=tuple(steps[::-1]),
        is_random=any(step.is_full for step in steps),
        constants=tuple(constant for constant in program.constants if constant[0] in used),
        arguments=tuple(slot for slot in program.arguments if slot in used),
    )
