"""What can go wrong in linen-summary."""

from __future__ import annotations

from linen_core.errors import LinenError

__all__ = ["UnknownCostError"]


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
