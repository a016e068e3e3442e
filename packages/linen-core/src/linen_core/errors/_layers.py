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
    """A computation that needs floating-point or complex numbers was asked to run in another dtype.

    Attributes:
      dtype: the dtype asked for.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(
            f"Cannot compute in dtype {dtype}: expected a floating-point or complex dtype. "
            "Pass a floating-point `dtype`. Where integers are meant, use nn.dtypes.promote_dtype with inexact=False; "
            "Dense, Conv and others take a function like it as the field `promote_dtype`."
        )


class LayerArgumentError(LinenError, ValueError):
    """A field of a layer, or an argument of its call, has a value that the layer cannot work with.

    Attributes:
      where: the layer's class and its path in the model, or the name of the function.
      argument: name of the field or argument.
      found: the value, or what matters of it.
      expected: what it should have been.
    """

    def __init__(
        self, where: str, argument: str, found: Any, expected: str, advice: str = ""
    ) -> None:
        self.where = where
        self.argument = argument
        self.found = found
        self.expected = expected
        text = f"Cannot apply {where}: `{argument}` is {found}, expected {expected}."
        super().__init__(f"{text} {advice}".rstrip())


class LayerShapeError(LayerArgumentError, AssertionError, TypeError):
    """Sizes that a layer was given do not fit together: a number of features and of groups, or two arrays."""


class LayerRankError(LayerShapeError, IndexError):
    """An input has fewer axes than a layer needs."""


class Fp8DtypeError(LayerArgumentError, AssertionError):
    """A dtype is none of the 8-bit floating-point dtypes."""


class DropoutRateError(LayerArgumentError):
    """A dropout rate is no probability."""


class UnsupportedArgumentError(LayerArgumentError, NotImplementedError):
    """A layer does not implement the value of one of its fields."""


class MaskShapeError(LayerArgumentError, TypeError):
    """A mask has not the shape of what it masks, nor one that broadcasts to it."""


class PaddingWordError(LayerArgumentError, RuntimeError):
    """A padding is a word that the layer does not know."""


class UnboundAxisError(LayerArgumentError, NameError):
    """A layer shares statistics over a mapped axis that no surrounding transform has."""
