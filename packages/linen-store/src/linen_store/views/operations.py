"""Operations of views: what an array of a view is in terms of arrays of other stores."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.reading.specs import array_spec, cast_spec

__all__ = [
    "AlongAxis",
    "Cast",
    "Compute",
    "Concatenate",
    "Crop",
    "Flatten",
    "Mean",
    "Operation",
    "Pad",
    "Reshape",
    "Reshaping",
    "Resize",
    "Same",
    "Slice",
    "Stack",
    "Take",
    "Transpose",
    "Unflatten",
]


def _library(values: Sequence[Any]) -> Any:
    """Return the module that computes with values where they are: jax.numpy or numpy."""
    return jnp if any(isinstance(value, jax.Array) for value in values) else np


class Operation(abc.ABC):
    """A pure function of one or several arrays, whose result has a known shape."""

    combines: ClassVar[bool] = False
    """True if it is of all arrays together."""

    moves: ClassVar[bool] = False
    """True if it moves values and computes none: a cast of the sources is one of the result."""

    @abc.abstractmethod
    def spec(self, specs: Sequence[Any]) -> Any:
        """Describe the result.

        Raises:
          ValueError: the arrays do not fit; the message says what was found and what was expected.
        """

    @abc.abstractmethod
    def compute(self, values: Sequence[Any]) -> Any:
        """Compute the result."""

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        """Return how the sources of a result of a sharding are sharded; None to read them whole.

        Args:
          spec: the mesh axes of each axis of the result.
          rank: the number of axes of each source.
        """
        del spec, rank

    def in_layers(self, axis: int, rank: int) -> tuple[Operation, int] | None:
        """Return the operation on each layer that has the effect of this one on their stack; None if there is none.

        Args:
          axis: the axis of the stack, not negative.
          rank: the number of axes of the stack.

        Returns:
          The operation, and the axis of the stack in the result.
        """
        del axis, rank
        return None


class AlongAxis(Operation):
    """An operation that changes the size of one axis."""

    axis: int

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        padded = [*spec, *[None] * (rank - len(spec))]
        padded[self.axis] = None  # a part of the result is not one of the sources
        return jax.sharding.PartitionSpec(*padded)

    def in_layers(self, axis: int, rank: int) -> tuple[Operation, int] | None:
        own = self.axis % rank
        if own == axis or self.combines:
            return None
        changed: Any = self
        return dataclasses.replace(changed, axis=own - (own > axis)), axis


class Reshaping(Operation):
    """An operation that gives the elements another shape."""

    moves: ClassVar = True

    @abc.abstractmethod
    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the result."""

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        return array_spec(self._shape(tuple(one.shape)), one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        (value,) = values
        return _library(values).reshape(value, self._shape(value.shape))


@dataclasses.dataclass(frozen=True)
class Same(Operation):
    """The value of the source, which may be anything that a store holds."""

    moves: ClassVar = True

    def spec(self, specs: Sequence[Any]) -> Any:
        return specs[0]

    def compute(self, values: Sequence[Any]) -> Any:
        return values[0]

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        return spec

    def in_layers(self, axis: int, rank: int) -> tuple[Operation, int] | None:
        return self, axis


@dataclasses.dataclass(frozen=True)
class Cast(Operation):
    """Another floating-point dtype; other arrays are left as they are."""

    dtype: Any

    def spec(self, specs: Sequence[Any]) -> Any:
        return cast_spec(specs[0], self.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        is_floating = jnp.issubdtype(values[0].dtype, jnp.floating)
        return values[0].astype(self.dtype) if is_floating else values[0]

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        return spec

    def in_layers(self, axis: int, rank: int) -> tuple[Operation, int] | None:
        return self, axis


@dataclasses.dataclass(frozen=True)
class Transpose(Operation):
    """The axes in another order; reversed if ``axes`` is None."""

    moves: ClassVar = True

    axes: tuple[int, ...] | None = None

    def _axes(self, rank: int) -> tuple[int, ...]:
        return tuple(range(rank))[::-1] if self.axes is None else self.axes

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        rank = len(one.shape)
        axes = self._axes(rank)
        if self.axes is not None and sorted(axes) != list(range(rank)):
            expected = f"each of 0 ... {rank - 1} once" if rank else "no axes"
            msg = f"cannot transpose an array of shape {one.shape} by {axes}: expected {expected}"
            raise ValueError(msg)
        return array_spec([one.shape[axis] for axis in axes], one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        return _library(values).transpose(values[0], self._axes(values[0].ndim))

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        padded = [*spec, *[None] * (rank - len(spec))]
        order = self._axes(rank)
        return jax.sharding.PartitionSpec(*(padded[order.index(axis)] for axis in range(rank)))

    def in_layers(self, axis: int, rank: int) -> tuple[Operation, int] | None:
        order = self._axes(rank)
        rest = (one - (one > axis) for one in order if one != axis)
        return Transpose(tuple(rest)), order.index(axis)


@dataclasses.dataclass(frozen=True)
class Reshape(Reshaping):
    """Another shape with as many elements; one size may be -1."""

    shape: tuple[int, ...]

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        size, free = math.prod(shape), [i for i, n in enumerate(self.shape) if n == -1]
        rest = math.prod(n for n in self.shape if n != -1)
        found = tuple(size // rest if n == -1 and rest else n for n in self.shape)
        if len(free) > 1 or math.prod(found) != size:
            msg = f"cannot reshape {shape} to {self.shape}: expected a shape of {size} elements"
            raise ValueError(msg)
        return found


@dataclasses.dataclass(frozen=True)
class Unflatten(Reshaping):
    """One axis as several, such as the features of all heads as (heads, features); one size may be -1."""

    axis: int
    sizes: tuple[int, ...]

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        rank = len(shape)
        if not -rank <= self.axis < rank:
            msg = (
                f"cannot unflatten axis {self.axis} of an array of shape {shape}: it does not exist"
            )
            raise ValueError(msg)
        axis = self.axis % rank
        known = math.prod(size for size in self.sizes if size != -1)
        free = shape[axis] // known if known else 0
        sizes = tuple(free if size == -1 else size for size in self.sizes)
        if self.sizes.count(-1) > 1 or math.prod(sizes) != shape[axis]:
            msg = (
                f"cannot unflatten axis {self.axis} of an array of shape {shape} to {self.sizes}: expected sizes "
                f"whose product is {shape[axis]}"
            )
            raise ValueError(msg)
        return (*shape[:axis], *sizes, *shape[axis + 1 :])


@dataclasses.dataclass(frozen=True)
class Flatten(Reshaping):
    """The axes from ``first`` to ``last`` as one, such as (heads, features) as the features of all heads."""

    first: int
    last: int

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        rank = len(shape)
        is_axis = all(-rank <= axis < rank for axis in (self.first, self.last))
        first, last = (axis % max(rank, 1) for axis in (self.first, self.last))
        if not is_axis or first > last:
            msg = f"cannot flatten the axes from {self.first} to {self.last} of an array of shape {shape}"
            raise ValueError(msg)
        return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


@dataclasses.dataclass(frozen=True)
class Stack(Operation):
    """Several arrays of one shape along a new axis."""

    combines: ClassVar = True
    moves: ClassVar = True

    axis: int = 0

    def spec(self, specs: Sequence[Any]) -> Any:
        first = specs[0]
        for other in specs:
            if (other.shape, other.dtype) != (first.shape, first.dtype):
                msg = f"cannot stack {first.dtype}{first.shape} and {other.dtype}{other.shape}: expected one shape"
                raise ValueError(msg)
        shape = [*first.shape]
        if not -len(shape) - 1 <= self.axis <= len(shape):
            msg = f"cannot stack arrays of shape {first.shape} along axis {self.axis}"
            raise ValueError(msg)
        shape.insert(self.axis % (len(shape) + 1), len(specs))
        return array_spec(shape, first.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        return _library(values).stack(values, self.axis)

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        padded = [*spec, *[None] * (rank + 1 - len(spec))]
        del padded[self.axis % (rank + 1)]
        return jax.sharding.PartitionSpec(*padded)


@dataclasses.dataclass(frozen=True)
class Take(Operation):
    """One index of an axis, which disappears."""

    moves: ClassVar = True

    axis: int
    index: int

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        shape = [*one.shape]
        if not -len(shape) <= self.axis < len(shape) or self.index >= shape[self.axis]:
            msg = f"cannot take index {self.index} of axis {self.axis} of an array of shape {one.shape}"
            raise ValueError(msg)
        del shape[self.axis]
        return array_spec(shape, one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        return _library(values).take(values[0], self.index, self.axis)

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        padded = [*spec, *[None] * (rank - 1 - len(spec))]
        padded.insert(self.axis % rank, None)
        return jax.sharding.PartitionSpec(*padded)


@dataclasses.dataclass(frozen=True)
class Concatenate(AlongAxis):
    """Several arrays behind each other along an axis."""

    combines: ClassVar = True
    moves: ClassVar = True

    axis: int = 0

    def spec(self, specs: Sequence[Any]) -> Any:
        first = specs[0]
        rank = len(first.shape)
        if not -rank <= self.axis < rank:
            msg = f"cannot concatenate arrays of shape {first.shape} along axis {self.axis}"
            raise ValueError(msg)
        rest = [
            (one.dtype, [size for axis, size in enumerate(one.shape) if axis != self.axis % rank])
            for one in specs
        ]
        for one, other in zip(specs, rest, strict=True):
            if len(one.shape) != rank or other != rest[0]:
                msg = (
                    f"cannot concatenate {first.dtype}{first.shape} and {one.dtype}{one.shape} along axis {self.axis}: "
                    "expected the same dtype, and the same sizes of the other axes"
                )
                raise ValueError(msg)
        shape = [*first.shape]
        shape[self.axis] = sum(one.shape[self.axis] for one in specs)
        return array_spec(shape, first.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        return _library(values).concatenate(values, self.axis)


@dataclasses.dataclass(frozen=True)
class Slice(AlongAxis):
    """The indices from ``start`` to ``stop`` of an axis."""

    moves: ClassVar = True

    axis: int
    start: int
    stop: int

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        shape = [*one.shape]
        is_axis = -len(shape) <= self.axis < len(shape)
        if not is_axis or not 0 <= self.start <= self.stop <= shape[self.axis]:
            msg = f"cannot take {self.start}:{self.stop} of axis {self.axis} of an array of shape {one.shape}"
            raise ValueError(msg)
        shape[self.axis] = self.stop - self.start
        return array_spec(shape, one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        index = [slice(None)] * values[0].ndim
        index[self.axis] = slice(self.start, self.stop)
        return values[0][tuple(index)]


@dataclasses.dataclass(frozen=True)
class Resize(Operation):
    """Another size of each axis: cut at the end, or filled up with a number."""

    shape: tuple[int, ...]
    fill: float

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        if len(one.shape) != len(self.shape):
            msg = f"cannot resize {one.shape} to {self.shape}: expected {len(one.shape)} axes"
            raise ValueError(msg)
        return array_spec(self.shape, one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        kept = values[0][tuple(map(slice, self.shape))]
        widths = [(0, size - n) for size, n in zip(self.shape, kept.shape, strict=True)]
        fill = np.asarray(self.fill, kept.dtype)
        return _library(values).pad(kept, widths, constant_values=fill)


@dataclasses.dataclass(frozen=True)
class Pad(AlongAxis):
    """More indices before and after those of an axis, filled with a number."""

    axis: int
    before: int
    after: int
    fill: float = 0.0

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        shape = [*one.shape]
        if not -len(shape) <= self.axis < len(shape) or min(self.before, self.after) < 0:
            msg = f"cannot pad axis {self.axis} of an array of shape {one.shape} by {self.before} and {self.after}"
            raise ValueError(msg)
        shape[self.axis] += self.before + self.after
        return array_spec(shape, one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        widths = [(0, 0)] * values[0].ndim
        widths[self.axis] = (self.before, self.after)
        fill = np.asarray(self.fill, values[0].dtype)
        return _library(values).pad(values[0], widths, constant_values=fill)


@dataclasses.dataclass(frozen=True)
class Crop(AlongAxis):
    """An axis without its first and its last indices; the inverse of `Pad`."""

    moves: ClassVar = True

    axis: int
    before: int
    after: int

    def spec(self, specs: Sequence[Any]) -> Any:
        (one,) = specs
        shape = [*one.shape]
        is_axis = -len(shape) <= self.axis < len(shape)
        left = shape[self.axis] - self.before - self.after if is_axis else -1
        if left < 0 or min(self.before, self.after) < 0:
            msg = f"cannot crop axis {self.axis} of an array of shape {one.shape} by {self.before} and {self.after}"
            raise ValueError(msg)
        shape[self.axis] = left
        return array_spec(shape, one.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        stop = values[0].shape[self.axis] - self.after
        return Slice(self.axis, self.before, stop).compute(values)


@dataclasses.dataclass(frozen=True)
class Mean(Operation):
    """The mean of several arrays, computed in at least 32 bits."""

    combines: ClassVar = True

    def spec(self, specs: Sequence[Any]) -> Any:
        Stack().spec(specs)
        if not jnp.issubdtype(specs[0].dtype, jnp.floating):
            return specs[0]
        return array_spec(specs[0].shape, specs[0].dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        dtype = values[0].dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            return values[0]
        wide = jnp.promote_types(dtype, jnp.float32)
        total = sum((value.astype(wide) for value in values[1:]), values[0].astype(wide))
        return (total / len(values)).astype(dtype)

    def source_spec(self, spec: jax.sharding.PartitionSpec, rank: int) -> Any:
        return spec


@dataclasses.dataclass(frozen=True)
class Compute(Operation):
    """Any function of arrays; its result is described with `jax.eval_shape`."""

    combines: ClassVar = True

    function: Callable[..., Any]

    def spec(self, specs: Sequence[Any]) -> Any:
        plain = [
            array_spec(
                one.shape, jax.dtypes.canonicalize_dtype(one.dtype, allow_extended_dtype=True)
            )
            for one in specs
        ]
        try:
            found: Any = jax.eval_shape(self.function, *plain)
        except Exception as error:
            msg = f"the function raises {type(error).__name__}: {error}"
            raise ValueError(msg) from error
        if not isinstance(found, jax.ShapeDtypeStruct):
            msg = f"expected a function that returns one array, found {type(found).__name__}"
            raise ValueError(msg)
        return array_spec(found.shape, found.dtype)

    def compute(self, values: Sequence[Any]) -> Any:
        return self.function(*values)
