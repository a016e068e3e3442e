"""The types that Linen's signatures speak in."""

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
"""The collection of layers in 8 bits whose "gradient" is their next value."""

Array: TypeAlias = jax.Array | Any
"""A jax array, a tracer or a numpy array."""

PyTree: TypeAlias = Any
"""Any tree of containers that JAX knows, a bare leaf among them. Python has no type for these; only functions that
take every such tree say so."""

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
"""Names from the root of a collection to a value, for example ``("encoder", "Dense_0", "kernel")``."""

VariablePath: TypeAlias = tuple[str, Path]
"""A collection and the path of a variable in it."""

Collections: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Variables by collection, each a nested mapping of names."""

Collection: TypeAlias = Mapping[str, Any]
"""One collection of variables: a nested mapping of names."""

MutableCollection: TypeAlias = dict[str, Any]
"""One collection of variables that can be written."""

VariableDict: TypeAlias = Mapping[str, Collection]
"""Variables by collection."""

FrozenVariableDict: TypeAlias = Mapping[str, Collection]
"""Variables by collection, as `init` gives them back."""

MutableVariableDict: TypeAlias = dict[str, MutableCollection]
"""Variables by collection, which can be written."""

PRNGFoldable: TypeAlias = int | str
"""What is folded into a key: names of modules and counters."""

Initializer: TypeAlias = Callable[..., Any]
"""``init(key, shape, dtype)`` giving an array of that shape and dtype."""

PrecisionLike: TypeAlias = (
    str | jax.lax.Precision | tuple[str, str] | tuple[jax.lax.Precision, jax.lax.Precision] | None
)
"""Whatever `jax.lax.dot_general` takes as its precision."""

DotDimensionNumbers: TypeAlias = tuple[
    tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]
]
"""The contracted axes of both operands of `jax.lax.dot_general`, then their batch axes."""

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

PromotedT = TypeVar("PromotedT", bound=tuple[Any, ...])


class PromoteDtypeFn(Protocol):
    """A stand-in for `linen_core.dtypes.promote_dtype`, as layers take it."""

    def __call__(
        self, args: PromotedT, /, *, dtype: Any = None, inexact: bool = True
    ) -> PromotedT: ...


_AxisT = TypeVar("_AxisT")


@dataclasses.dataclass(frozen=True)
class _OneWay(Generic[_AxisT]):
    axis: _AxisT
    """The axis, or None for none."""


class In(_OneWay[_AxisT]):
    """An axis for variables that go into a lifted transform only.

    Example:
      >>> import linen_core as nn
      >>> Dense = nn.vmap(nn.Dense, variable_axes={"params": In(0)}, split_rngs={"params": True})
    """


class Out(_OneWay[_AxisT]):
    """An axis for variables that come out of a lifted transform only.

    Example:
      >>> import linen_core as nn
      >>> Model = nn.scan(nn.Dense, variable_axes={"params": 0, "intermediates": Out(0)})
    """


Axis: TypeAlias = int | None
"""An axis that `vmap` maps over, or None for none."""

InOutAxis: TypeAlias = Axis | In[Axis] | Out[Axis]
"""The axis of a collection under `vmap`."""

ScanAxis: TypeAlias = int
"""An axis that `scan` runs over."""

InOutScanAxis: TypeAlias = ScanAxis | In[ScanAxis] | Out[ScanAxis]
"""The axis of a collection under `scan`."""

AxesPytree: TypeAlias = PyTree
"""The axes to map over: one for all arguments or results, or a tree of axes that is a prefix of theirs."""

Methods: TypeAlias = list[str] | tuple[str, ...] | dict[str, Any]
"""The methods that a transform changes: their names, or the options of each by name."""

LogicalNames: TypeAlias = tuple[str | None, ...]
"""A logical name, or None, for each axis of an array."""

AxisName: TypeAlias = str | tuple[str, ...] | None
"""One axis of a mesh, several, or none."""

LogicalRules: TypeAlias = Sequence[tuple[str, AxisName]]
"""Pairs of a logical name and the mesh axes it is sharded over; the first that fits holds."""

Sharding: TypeAlias = tuple[AxisName, ...]
"""Mesh axes for each axis of an array."""

ArrayPytree: TypeAlias = PyTree
"""A tree of arrays."""

LogicalPartitionSpec: TypeAlias = Any
"""The logical names of one array's axes, as a tuple or a partition spec."""

LogicalPartitionSpecPytree: TypeAlias = Any
"""A tree of those."""

PartitionSpecPytree: TypeAlias = Any
"""A tree of partition specs."""
