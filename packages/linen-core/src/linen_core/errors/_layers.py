"""Errors of layers."""

from __future__ import annotations

from typing import Any

from linen_core.errors._base import LinenError

__all__ = [
    "DropoutRateError",
    "Fp8DtypeError",
    "InexactDtypeError",
    "LayerArgumentError",
    "LayerRankError",
    "LayerShapeError",
    "MaskShapeError",
    "PaddingWordError",
    "UnboundAxisError",
    "UnsupportedArgumentError",
]


class InexactDtypeError(LinenError, ValueError):
    """A computation that needs floating-point or complex numbers was given another dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype  #: The requested dtype.
        super().__init__(
            f"Cannot compute in dtype {dtype}: expected a floating-point or complex dtype. "
            "Pass a floating-point `dtype`. To compute with integers, use nn.dtypes.promote_dtype with inexact=False; "
            "Dense, Conv and other layers take such a function as the field `promote_dtype`."
        )


class LayerArgumentError(LinenError, ValueError):
    """A field of a layer, or an argument of its call, has a value that the layer does not accept."""

    def __init__(
        self, where: str, argument: str, found: Any, expected: str, advice: str = ""
    ) -> None:
        self.where = where  #: Class and path of the layer, or the name of the function.
        self.argument = argument  #: Name of the field or argument.
        self.found = found  #: The value, or the relevant part of it.
        self.expected = expected  #: Description of the values that the layer accepts.
        text = f"Cannot apply {where}: `{argument}` is {found}, expected {expected}."
        super().__init__(f"{text} {advice}".rstrip())


class LayerShapeError(LayerArgumentError, AssertionError, TypeError):
    """Two sizes do not match: numbers of features and of groups, or the shapes of two arrays."""


class LayerRankError(LayerShapeError, IndexError):
    """An input has fewer axes than a layer needs."""


class Fp8DtypeError(LayerArgumentError, AssertionError):
    """A dtype is not one of the 8-bit floating-point dtypes."""


class DropoutRateError(LayerArgumentError):
    """A dropout rate lies outside of [0, 1]."""


class UnsupportedArgumentError(LayerArgumentError, NotImplementedError):
    """A layer does not implement the value of one of its fields."""


class MaskShapeError(LayerArgumentError, TypeError):
    """The shape of a mask does not broadcast to the shape of the masked array."""


class PaddingWordError(LayerArgumentError, RuntimeError):
    """A padding is a string that the layer does not support."""


class UnboundAxisError(LayerArgumentError, NameError):
    """A layer shares statistics over a mapped axis, but no surrounding transform has that axis."""
