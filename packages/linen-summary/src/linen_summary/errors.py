"""What can go wrong in linen-summary."""

from __future__ import annotations

from linen_core.errors import LinenError

__all__ = ["MissingInputsError", "UnknownCostError", "UnknownMeasureError"]


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
