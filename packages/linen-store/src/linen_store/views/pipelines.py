"""Operations one after the other as one operation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from linen_store.views.operations import Operation, Reshaping, Same, Stack, Take

__all__ = ["Pipeline", "chain", "steps_of"]


@dataclasses.dataclass(frozen=True)
class Pipeline(Operation):
    """Operations in order: on each source until one combines them, then on the result."""

    steps: tuple[Operation, ...]

    @property
    def moves(self) -> bool:  # type: ignore[override]
        return all(step.moves for step in self.steps)

    def _follow(self, values: Sequence[Any], method: str) -> Any:
        for step in self.steps:
            call = getattr(step, method)
            values = [call(values)] if step.combines else [call([value]) for value in values]
        (result,) = values
        return result

    def spec(self, specs: Sequence[Any]) -> Any:
        return self._follow(specs, "spec")

    def compute(self, values: Sequence[Any]) -> Any:
        return self._follow(values, "compute")

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        if any(isinstance(one, Reshaping) for one in self.steps):
            return None  # the axes of the result are not those of the sources
        ranks = []
        for operation in self.steps:
            ranks.append(rank)
            rank += isinstance(operation, Stack) - isinstance(operation, Take)
        found: Any = spec
        for operation, before in reversed(list(zip(self.steps, ranks, strict=True))):
            found = None if found is None else operation.source_spec(found, before)
        return found


def steps_of(operation: Operation) -> tuple[Operation, ...]:
    """Return the operations that an operation does in order."""
    return operation.steps if isinstance(operation, Pipeline) else (operation,)


def chain(*steps: Operation) -> Operation:
    """Return operations in order as one operation.

    Example:
      >>> chain(Same(), Stack(1)), chain()
      (Stack(axis=1), Same())
    """
    changing = tuple(one for step in steps for one in steps_of(step) if type(one) is not Same)
    if len(changing) > 1:
        return Pipeline(changing)
    return changing[0] if changing else Same()
