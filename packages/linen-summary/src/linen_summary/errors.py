"""What can go wrong in linen-summary."""

from __future__ import annotations

from typing import Literal

from linen_core.errors import LinenError

__all__ = [
    "ChartFormatError",
    "CommandError",
    "InputTextError",
    "MissingInputsError",
    "ModelRunError",
    "StoreTargetError",
    "TargetError",
    "TargetTypeError",
    "UnknownCostError",
    "UnknownMeasureError",
    "UnusedOptionsError",
    "ValueTextError",
]


class UnknownCostError(LinenError, NotImplementedError):
    """A backend does not say what a function costs; tables show its text as the note of the unknown number.

    Attributes:
      backend: name of the backend.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        super().__init__(
            f"Cannot count FLOPs: the backend {backend!r} has no cost analysis of functions that are not compiled. "
            "Set JAX_PLATFORMS=cpu to count them on the CPU's."
        )


class MissingInputsError(LinenError, TypeError):
    """A model is compared without the inputs that say which variables it makes.

    Attributes:
      module: name of the module's class.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(
            f"Cannot compare {module}: found no keys and inputs to find its variables with, expected those of its "
            "`init`. Call compare(first, second, jax.random.key(0), inputs), shapes suffice as inputs."
        )


class UnknownMeasureError(LinenError, ValueError):
    """A chart is asked to show what the table does not have.

    Attributes:
      measure: what was asked for.
      known: what the table has.
    """

    def __init__(self, measure: str, known: tuple[str, ...]) -> None:
        self.measure = measure
        self.known = known
        super().__init__(
            f"Cannot draw {measure!r}: found in the table are {', '.join(known)}. "
            "Choose one of them, or ask `summarize` to count it, for example with compute_flops=True."
        )


class CommandError(LinenError, ValueError):
    """The command `linen-summary` cannot do what it was asked for."""


class TargetError(CommandError):
    """A module cannot be imported, or made.

    Attributes:
      target: what was asked for.
      step: what was tried.
      hint: what to do.
    """

    def __init__(self, target: str, step: str, hint: str) -> None:
        self.target = target
        self.step = step
        self.hint = hint
        super().__init__(
            f"Cannot {step} {target!r}: found the error below, expected a module. {hint}"
        )


class TargetTypeError(CommandError):
    """What was imported is no module and makes none.

    Attributes:
      target: what was asked for.
      found: name of the type that was found.
    """

    def __init__(self, target: str, found: str) -> None:
        self.target = target
        self.found = found
        super().__init__(
            f"Cannot summarise {target!r}: found a {found}, expected a subclass of linen_core.Module, a module or a "
            "function that makes one. Name it as package.module:Name."
        )


class InputTextError(CommandError):
    """An input is not written as the command reads it.

    Attributes:
      text: what was given.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"Cannot read the input {text!r}: expected a dtype and a shape, for example float32[1,28,28,1], or "
            "name=float32[1] for a keyword. In a shell put it in quotes."
        )


class ValueTextError(CommandError):
    """A value is not written as the command reads it.

    Attributes:
      option: the option that it was given to.
      text: what was given.
    """

    def __init__(self, option: str, text: str) -> None:
        self.option = option
        self.text = text
        super().__init__(
            f"Cannot read {text!r} after {option}: expected a name and a value, for example {option} features=64."
        )


class ChartFormatError(CommandError):
    """A chart is asked for in a format that has no pictures.

    Attributes:
      format: the format.
    """

    def __init__(self, format: str) -> None:  # noqa: A002 - the option's name
        self.format = format
        super().__init__(
            f"Cannot draw a chart as {format!r}: charts have the formats rich, svg and html. Choose one with --format."
        )


class UnusedOptionsError(CommandError):
    """Options are given that mean nothing for what the command is pointed at.

    Attributes:
      target: what was asked for.
      options: the options.
      kind: what it is: ``"checkpoint"`` or ``"module"``.
    """

    def __init__(
        self, target: str, options: tuple[str, ...], kind: Literal["checkpoint", "module"]
    ) -> None:
        self.target = target
        self.options = options
        self.kind = kind
        super().__init__(
            f"Cannot use {', '.join(options)} for {target!r}: found a {kind}. Leave out what is for "
            + (
                "a module, which is named as package.module:Name."
                if kind == "checkpoint"
                else "a checkpoint."
            )
        )


class ModelRunError(CommandError):
    """A model fails when it is run abstractly.

    Attributes:
      target: the model.
      inputs: its inputs as text.
    """

    def __init__(self, target: str, inputs: str) -> None:
        self.target = target
        self.inputs = inputs
        super().__init__(
            f"Cannot run {target!r} on {inputs}: found the error below. Check the inputs (--input, --call) and the "
            "fields (--arg)."
        )


class StoreTargetError(CommandError):
    """A checkpoint cannot be opened.

    Attributes:
      target: its path.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"Cannot open {target!r} as a checkpoint: found the error below. A model is named as package.module:Name."
        )
