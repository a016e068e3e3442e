"""The errors of linen-summary."""

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
    """The backend has no cost analysis. Tables show the text as the reason for an unknown number.

    Attributes:
      backend: name of the backend.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        super().__init__(
            f"Cannot count FLOPs: the backend {backend!r} has no cost analysis of functions that are not compiled. "
            "Set JAX_PLATFORMS=cpu to count them on the CPU backend."
        )


class MissingInputsError(LinenError, TypeError):
    """A module is compared without the inputs that determine its variables.

    Attributes:
      module: name of the module's class.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        super().__init__(
            f"Cannot compare {module}: found no key and no inputs, expected those of its `init`. Call "
            "compare(first, second, jax.random.key(0), inputs). Inputs may be jax.ShapeDtypeStruct."
        )


class UnknownMeasureError(LinenError, ValueError):
    """A chart needs a quantity that the table does not have.

    Attributes:
      measure: the missing quantity.
      known: the quantities of the table.
    """

    def __init__(self, measure: str, known: tuple[str, ...]) -> None:
        self.measure = measure
        self.known = known
        super().__init__(
            f"Cannot draw {measure!r}: found only {', '.join(known)} in the table. "
            "Choose one of them, or request it from `summarize`, for example with compute_flops=True."
        )


class CommandError(LinenError, ValueError):
    """The base of the errors of the command `linen-summary`."""


class TargetError(CommandError):
    """A module cannot be imported or constructed.

    Attributes:
      target: the target of the command.
      step: the step that failed, ``"import"`` or ``"construct"``.
      hint: advice.
    """

    def __init__(self, target: str, step: str, hint: str) -> None:
        self.target = target
        self.step = step
        self.hint = hint
        super().__init__(
            f"Cannot {step} {target!r}: found the error below, expected a module. {hint}"
        )


class TargetTypeError(CommandError):
    """The imported object is neither a Module nor a factory for one.

    Attributes:
      target: the target of the command.
      found: name of the type of the object or of its result.
    """

    def __init__(self, target: str, found: str) -> None:
        self.target = target
        self.found = found
        super().__init__(
            f"Cannot summarise {target!r}: found a {found}, expected a subclass of linen_core.Module, a module or a "
            "function that returns one. Name it as package.module:Name."
        )


class InputTextError(CommandError):
    """An input is not a dtype with a shape.

    Attributes:
      text: the input.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"Cannot read the input {text!r}: expected a dtype and a shape, for example float32[1,28,28,1], or "
            "name=float32[1] for a keyword. In a shell, put it in quotes."
        )


class ValueTextError(CommandError):
    """The argument of an option is not a name and a value.

    Attributes:
      option: the option.
      text: its argument.
    """

    def __init__(self, option: str, text: str) -> None:
        self.option = option
        self.text = text
        super().__init__(
            f"Cannot read {text!r} after {option}: expected a name and a value, for example {option} features=64."
        )


class ChartFormatError(CommandError):
    """A chart cannot be written in the format.

    Attributes:
      format: the format.
    """

    def __init__(self, format: str) -> None:  # noqa: A002 - the option's name
        self.format = format
        super().__init__(
            f"Cannot draw a chart as {format!r}: charts have the formats rich, svg and html. Choose one with --format."
        )


class UnusedOptionsError(CommandError):
    """Options are given that do not apply to the target.

    Attributes:
      target: the target of the command.
      options: the options.
      kind: kind of the target, ``"checkpoint"`` or ``"module"``.
    """

    def __init__(
        self, target: str, options: tuple[str, ...], kind: Literal["checkpoint", "module"]
    ) -> None:
        self.target = target
        self.options = options
        self.kind = kind
        other = "module, named package.module:Name" if kind == "checkpoint" else "checkpoint"
        super().__init__(
            f"Cannot use {', '.join(options)} for {target!r}: found a {kind}, expected a {other}. "
            "Leave out these options."
        )


class ModelRunError(CommandError):
    """A model raises an error in an abstract run.

    Attributes:
      target: the target of the command.
      inputs: the inputs as text.
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
      target: the path.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"Cannot open {target!r} as a checkpoint: found the error below. Name a model as package.module:Name."
        )
