"""The types that Linen's signatures speak in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

__all__ = [
    "OVERWRITE_WITH_GRADIENT",
    "Array",
    "Axes",
    "Collections",
    "ConvGeneralDilatedT",
    "DotGeneralT",
    "Dtype",
    "EinsumT",
    "FrozenVariableDict",
    "Initializer",
    "LaxPadding",
    "PRNGKey",
    "PaddingLike",
    "Path",
    "PrecisionLike",
    "RNGSequences",
    "Shape",
    "VariableDict",
]

OVERWRITE_WITH_GRADIENT = "_overwrite_with_gradient"
"""The collection of layers in 8 bits whose "gradient" is their next value."""

Array: TypeAlias = jax.Array | Any
"""A jax array, a tracer or a numpy array."""

PRNGKey: TypeAlias = jax.Array
"""A key of `jax.random.key` or a raw uint32 key of `jax.random.PRNGKey`."""

RNGSequences: TypeAlias = Mapping[str, PRNGKey]
"""A key for each named RNG stream."""

Dtype: TypeAlias = np.dtype[Any] | type[Any] | str | Any
"""Whatever `jax.numpy.dtype` takes."""

Shape: TypeAlias = Sequence[int]
"""The shape of an array."""

Axes: TypeAlias = int | Sequence[int]
"""One axis or several."""

Path: TypeAlias = tuple[str, ...]
"""Where a value lies inside its collection, for example ``("encoder", "Dense_0", "kernel")``."""

Collections: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Variables by collection, each a nested mapping of names."""

VariableDict: TypeAlias = Mapping[str, Mapping[str, Any]]
FrozenVariableDict: TypeAlias = Mapping[str, Mapping[str, Any]]

Initializer: TypeAlias = Callable[..., Any]
"""``init(key, shape, dtype)`` giving an array of that shape and dtype."""

PrecisionLike: TypeAlias = (
    str | jax.lax.Precision | tuple[str, str] | tuple[jax.lax.Precision, jax.lax.Precision] | None
)
"""Whatever `jax.lax.dot_general` takes as its precision."""

DotGeneralT: TypeAlias = Callable[..., Any]
"""A stand-in for `jax.lax.dot_general`."""

ConvGeneralDilatedT: TypeAlias = Callable[..., Any]
"""A stand-in for `jax.lax.conv_general_dilated`."""

EinsumT: TypeAlias = Callable[..., Any]
"""A stand-in for `jax.numpy.einsum`."""

PaddingLike: TypeAlias = str | int | Sequence[int | tuple[int, int]]
"""The padding of a convolution, as a user may write it."""

LaxPadding: TypeAlias = str | Sequence[tuple[int, int]]
"""The padding of a convolution, as `jax.lax` takes it."""
