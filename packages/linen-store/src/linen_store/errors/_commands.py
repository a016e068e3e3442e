"""Errors of the command."""

from __future__ import annotations

from typing import Literal

from linen_core.errors import LinenError

__all__ = ["ModelTargetError"]

_ADVICE = {
    "import": "Name it as package.module:Name, from a folder where Python finds it.",
    "construct": "Give its fields, or the arguments of the function, with --arg, like features=64.",
    "use": "Name a subclass of linen_core.Module, a module, or a function that returns one.",
    "initialize": "Give the inputs of its call with --input, like float32[1,28,28,1], and other arguments with --call.",
}


class ModelTargetError(LinenError, ValueError):
    """A model that the command names cannot be imported, constructed or initialised.

    Attributes:
      target: the model, as ``package.module:Name``.
      step: the step that failed.
      problem: the error that was raised, or what was found in the place of a module.
    """

    def __init__(
        self,
        target: str,
        step: Literal["import", "construct", "use", "initialize"],
        problem: str,
    ) -> None:
        self.target = target
        self.step = step
        self.problem = problem
        super().__init__(f"Cannot {step} the model {target!r}: found {problem}. {_ADVICE[step]}")
