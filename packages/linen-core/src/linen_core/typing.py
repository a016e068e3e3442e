"""Type aliases of Linen's public signatures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import jax
import numpy as np

__all__ = [
    "OVERWRITE_WITH_GRADIENT",
    "Array",
    "ArrayPytree",
    "Axes",
    "AxesPytree",
    "Axis",
    "AxisName",
    "Collection",
    "Collections",
    "ConvGeneralDilatedT",
    "DotDimensionNumbers",
    "DotGeneralT",
    "Dtype",
    "EinsumT",
    "FrozenVariableDict",
    "In",
    "InOutAxis",
    "InOutScanAxis",
    "Initializer",
    "LaxPadding",
    "LogicalNames",
    "LogicalPartitionSpec",
    "LogicalPartitionSpecPytree",
    "LogicalRules",
    "Methods",
    "MutableCollection",
    "MutableVariableDict",
    "Out",
    "PRNGFoldable",
    "PRNGKey",
    "PaddingLike",
    "PartitionSpecPytree",
    "Path",
    "PrecisionLike",
    "PromoteDtypeFn",
    "PyTree",
    "RNGSequences",
    "ScanAxis",
    "Shape",
    "Sharding",
    "VariableDict",
    "VariablePath",
]

OVERWRITE_WITH_GRADIENT = "_overwrite_with_gradient"
"""Collection of the FP8 layers. The gradient of such a variable is not added to it but replaces it."""

Array: TypeAlias = jax.Array | Any
"""A jax array, a tracer or a numpy array."""

PyTree: TypeAlias = Any
"""Any pytree, including a bare leaf. Python cannot express this type, so the alias is `Any` with a name."""

PRNGKey: TypeAlias = jax.Array
"""A key of `jax.random.key` or a raw uint32 key of `jax.random.PRNGKey`."""

RNGSequences: TypeAlias = Mapping[str, PRNGKey]
"""A key for each named RNG stream."""

Dtype: TypeAlias = np.dtype[Any] | type[Any] | str | Any
"""Anything that `jax.numpy.dtype` accepts."""

Shape: TypeAlias = Sequence[int]
"""The shape of an array."""

Axes: TypeAlias = int | Sequence[int]
"""One axis or several."""

Path: TypeAlias = tuple[str, ...]
"""Names from the root of a collection to a value, for example ``("encoder", "Dense_0", "kernel")``."""

VariablePath: TypeAlias = tuple[str, Path]
"""A collection and the path of a variable in it."""

Collections: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Variables by collection, each a nested mapping of names."""

Collection: TypeAlias = Mapping[str, Any]
"""One collection of variables: a nested mapping of names."""

MutableCollection: TypeAlias = dict[str, Any]
"""One writable collection of variables."""

VariableDict: TypeAlias = Mapping[str, Collection]
"""Variables by collection."""

FrozenVariableDict: TypeAlias = Mapping[str, Collection]
"""Variables by collection, as `init` returns them."""

MutableVariableDict: TypeAlias = dict[str, MutableCollection]
"""Variables by collection, writable."""

PRNGFoldable: TypeAlias = int | str
"""Data that is folded into a key: names of modules, and counters."""

Initializer: TypeAlias = Callable[..., Any]
"""``init(key, shape, dtype)`` returns an array of that shape and dtype."""

PrecisionLike: TypeAlias = (
    str | jax.lax.Precision | tuple[str, str] | tuple[jax.lax.Precision, jax.lax.Precision] | None
)
"""Anything that `jax.lax.dot_general` accepts as its precision."""

DotDimensionNumbers: TypeAlias = tuple[
    tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]
]
"""The contracted axes of both operands of `jax.lax.dot_general`, then their batch axes."""

DotGeneralT: TypeAlias = Callable[..., Any]
"""A function with the signature of `jax.lax.dot_general`."""

ConvGeneralDilatedT: TypeAlias = Callable[..., Any]
"""A function with the signature of `jax.lax.conv_general_dilated`."""

EinsumT: TypeAlias = Callable[..., Any]
"""A function with the signature of `jax.numpy.einsum`."""

PaddingLike: TypeAlias = str | int | Sequence[int | tuple[int, int]]
"""The padding of a convolution, as layers accept it."""

LaxPadding: TypeAlias = str | Sequence[tuple[int, int]]
"""The padding of a convolution, as `jax.lax` accepts it."""

PromotedT = TypeVar("PromotedT", bound=tuple[Any, ...])


class PromoteDtypeFn(Protocol):
    """A function with the signature of `linen_core.dtypes.promote_dtype`."""

    def __call__(
        self, args: PromotedT, /, *, dtype: Any = None, inexact: bool = True
    ) -> PromotedT: ...


_AxisT = TypeVar("_AxisT")


@dataclasses.dataclass(frozen=True)
class _OneWay(Generic[_AxisT]):
    axis: _AxisT
    """The axis; None if the transform does not map the variables."""


class In(_OneWay[_AxisT]):
    """An axis for variables that enter a lifted transform, but do not leave it.

    Example:
      >>> import linen_core as nn
      >>> Dense = nn.vmap(nn.Dense, variable_axes={"params": In(0)}, split_rngs={"params": True})
    """


class Out(_OneWay[_AxisT]):
    """An axis for variables that leave a lifted transform, but do not enter it.

    Example:
      >>> import linen_core as nn
      >>> Model = nn.scan(nn.Dense, variable_axes={"params": 0, "intermediates": Out(0)})
    """


Axis: TypeAlias = int | None
"""An axis that `vmap` maps over; None for a value that is not mapped."""

InOutAxis: TypeAlias = Axis | In[Axis] | Out[Axis]
"""The axis of a collection under `vmap`."""

ScanAxis: TypeAlias = int
"""An axis that `scan` runs over."""

InOutScanAxis: TypeAlias = ScanAxis | In[ScanAxis] | Out[ScanAxis]
"""The axis of a collection under `scan`."""

AxesPytree: TypeAlias = PyTree
"""The axes to map over: one axis for all arguments or results, or a tree prefix with an axis at each leaf."""

Methods: TypeAlias = list[str] | tuple[str, ...] | dict[str, Any]
"""The methods that a transform changes: their names, or a dict from names to options."""

LogicalNames: TypeAlias = tuple[str | None, ...]
"""A logical name, or None, for each axis of an array."""

AxisName: TypeAlias = str | tuple[str, ...] | None
"""One axis of a mesh, several, or none."""

LogicalRules: TypeAlias = Sequence[tuple[str, AxisName]]
"""Pairs of a logical name and the mesh axes it maps to; the first matching pair is used."""

Sharding: TypeAlias = tuple[AxisName, ...]
"""Mesh axes for each axis of an array."""

ArrayPytree: TypeAlias = PyTree
"""A tree of arrays."""

LogicalPartitionSpec: TypeAlias = Any
"""The logical names of one array's axes, as a tuple or a partition spec."""

LogicalPartitionSpecPytree: TypeAlias = Any
"""A tree of `LogicalPartitionSpec`."""

PartitionSpecPytree: TypeAlias = Any
"""A tree of partition specs."""
