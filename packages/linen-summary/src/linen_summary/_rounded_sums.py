"""The sum of FLOPs as XLA rounds it: in 32-bit floats, in the order in which it visits the operations.

XLA visits an operation after its operands, these from the first to the last, and begins with the function's results.
A jaxpr has that order too, as long as the operations that become of one equation are visited one after the other. A
function that is called is visited by itself, and its sum added as one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["EXACT", "INLINED", "Cost", "Function", "Step", "marks", "rounded_sum"]

EXACT = 2**24
"""Integers up to here are exact as 32-bit floats."""

INLINED = frozenset(
    {"checkpoint", "custom_jvp_call", "custom_vjp_call", "random_bits", "remat", "remat2"}
)
"""Calls whose operations stand where the call stood."""


class Cost(NamedTuple):
    """A number of FLOPs, and what is known of the numbers that XLA adds up to it."""

    total: int
    bits: int
    """The bitwise or of the numbers, or of divisors of them: each is a multiple of its lowest bit."""
    folds: bool = False
    """Whether some of it might be simplified away."""
    additions: int = 0
    """How many numbers it is the sum of, where they are all equal; 0 where that is not known."""

    @property
    def is_exact(self) -> bool:
        """Whether it is XLA's number: nothing is simplified away, and no partial sum of XLA's is rounded.

        All partial sums are multiples of the lowest bit.
        """
        return not self.folds and _is_exact(self.total, self.bits)


class Step(NamedTuple):
    """An equation of a function."""

    equation: Any
    cost: Cost
    called: Function | None = None
    """The function that the equation calls."""


class Function(NamedTuple):
    """A jaxpr, what it costs, and its equations."""

    jaxpr: Any
    cost: Cost
    steps: Sequence[Step]
    results: Sequence[Any]
    """What constants it returns, as `may_fold` takes them."""


class _Node:
    """An operation of the function that is summed, and those that make its operands."""

    __slots__ = ("operands", "step", "visited")

    def __init__(self, step: Step | None, operands: Sequence[_Node | None]) -> None:
        self.step = step
        self.operands = operands
        self.visited = False


_MARK = Step(None, Cost(-1, 1, additions=1))
"""JAX marks each PRNG key that a program takes or gives back, and XLA counts minus one FLOP for a mark."""


def marks(variables: Iterable[Any]) -> int:
    """Count the PRNG keys among the inputs or the results of a program."""
    return sum(map(_is_marked, variables))


def _is_marked(variable: Any) -> bool:
    return bool(jnp.issubdtype(variable.aval.dtype, jax.dtypes.extended))


def rounded_sum(function: Function, *, is_program: bool = True) -> float | None:
    """Add up what a function costs as XLA does; None where the order of the additions is not known.

    Args:
      function: the function.
      is_program: whether it is the whole program, not a function that is called in one.
    """
    nodes: list[_Node] = []
    jaxpr = function.jaxpr
    inputs = [_Node(_MARK, ()) if is_program and _is_marked(v) else None for v in jaxpr.invars]
    results = _connect(function, inputs, nodes)
    if is_program:
        outputs = zip(jaxpr.outvars, results, strict=True)
        results = [_Node(_MARK, [node]) if _is_marked(v) else node for v, node in outputs]
    total: Any = np.float32(0)
    for node in _in_order(results):
        if node.step is not None:
            total = _plus(total, node.step)
            if total is None:
                return None
    forgotten = any(not n.visited and n.step is not None and n.step.cost.total for n in nodes)
    return None if forgotten else total


def _connect(
    function: Function, inputs: Sequence[_Node | None], nodes: list[_Node]
) -> list[_Node | None]:
    """Make the nodes of a function, and return those of its results."""
    known: dict[Any, _Node | None] = dict(zip(function.jaxpr.invars, inputs, strict=True))
    for step in function.steps:
        equation = step.equation
        operands = [None if hasattr(v, "val") else known.get(v) for v in equation.invars]
        if step.called is not None and equation.primitive.name in INLINED:
            made = _connect(step.called, _behind_barrier(equation, operands), nodes)
        else:
            if equation.primitive.name == "select_n":  # HLO takes the case of true first
                operands[1:] = operands[:0:-1]
            node = _Node(step, operands)
            nodes.append(node)
            made = [node] * len(equation.outvars)
        known.update(zip(equation.outvars, made, strict=True))
    return [None if hasattr(v, "val") else known.get(v) for v in function.jaxpr.outvars]


def _behind_barrier(equation: Any, operands: list[_Node | None]) -> list[_Node | None]:
    """Join the arguments of a call that is computed again behind a barrier, which needs all of them."""
    barred = equation.params.get("prevent_cse", False)
    if not equation.params.get("differentiated", False) or barred is False:
        return operands
    which = [barred] * len(operands) if barred is True else list(barred)
    held = [node for node, is_held in zip(operands, which, strict=True) if is_held]
    barrier = _Node(None, held)
    return [barrier if b else node for node, b in zip(operands, which, strict=True)]


def _in_order(results: Sequence[_Node | None]) -> Iterator[_Node]:
    """Visit nodes after their operands, without recursion: models are deep."""
    stack: list[tuple[_Node, bool]] = [(n, False) for n in reversed(results) if n is not None]
    while stack:
        node, is_ready = stack.pop()
        if is_ready:
            yield node
        elif not node.visited:
            node.visited = True
            stack.append((node, True))
            stack.extend((n, False) for n in reversed(node.operands) if n and not n.visited)


def _plus(total: Any, step: Step) -> Any:
    """Add what an equation costs; None where it is not known how."""
    cost = step.cost
    if cost.total == 0:
        return total
    if step.called is not None:
        inner = rounded_sum(step.called, is_program=False)
        return None if inner is None else total + np.float32(inner)
    if cost.additions:
        number = np.float32(cost.total // cost.additions)
        for _ in range(cost.additions):
            total += number
        return total
    done = int(total)
    return (
        total + np.float32(cost.total) if _is_exact(done + cost.total, done | cost.bits) else None
    )


def _is_exact(total: int, bits: int) -> bool:
    return total == 0 or total <= EXACT * (bits & -bits)
