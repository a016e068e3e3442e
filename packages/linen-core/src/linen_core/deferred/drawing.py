"""Arrays from elementwise programs: a program draws blocks of a fixed size, so one compilation serves every shape."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.deferred.program import Elementwise, Program
from linen_core.typing import Array

__all__ = ["BLOCK", "EagerDrawing", "consecutive_indices", "draw_blocks"]

_BLOCK_BITS = 14
BLOCK = 1 << _BLOCK_BITS
"""Elements of a block. It is computed whole even if an array needs a part of it, and fits into a processor's cache."""
_ROWS = 64
"""Blocks that one call of a compiled program draws at most."""
_MINUS_ZERO = np.float32(-0.0)


def draw_blocks(
    program: Program,
    arguments: Sequence[Any],
    count: Any,
    indices: Callable[[Array], tuple[Array, Array]],
    space: Array,
    minus_zero: Any,
) -> Any:
    """Draw blocks into the rows of a workspace.

    Args:
      program: the program.
      arguments: its arguments.
      count: the number of blocks.
      indices: returns the upper and the lower 32 bits of the indices of the elements of a row.
      space: the workspace, of shape (at least ``count``, `BLOCK`).
      minus_zero: see `Program.run`.
    """

    def draw_row(row: Array, space: Array) -> Array:
        values = program.run(arguments, *indices(row), minus_zero)
        return jax.lax.dynamic_update_index_in_dim(space, values, row, 0)

    return jax.lax.fori_loop(0, count, draw_row, space)


def consecutive_indices(number: Array) -> tuple[Array, Array]:
    """Return the upper and the lower 32 bits of the indices in a block of an array, given its number in uint32."""
    low = number * np.uint32(BLOCK) + jnp.arange(BLOCK, dtype=jnp.uint32)
    return jnp.broadcast_to(number >> np.uint32(32 - _BLOCK_BITS), low.shape), low


@functools.partial(jax.jit, static_argnums=0, donate_argnums=5)
def _draw_whole(
    program: Program, arguments: list[Any], count: int, first: Any, zero: Any, space: Array
) -> Any:
    def indices(row: Array) -> tuple[Array, Array]:
        return consecutive_indices(first + row.astype(jnp.uint32))

    return draw_blocks(program, arguments, count, indices, space, zero)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=6)
def _draw_listed(
    program: Program, arguments: list[Any], count: int, high: Any, low: Any, zero: Any, space: Array
) -> Any:
    def indices(row: Array) -> tuple[Array, Array]:
        return high[row], low[row]

    return draw_blocks(program, arguments, count, indices, space, zero)


class EagerDrawing:
    """Draws arrays outside of traces. The arrays share a workspace."""

    def __init__(self) -> None:
        self._spaces: dict[Any, Array] = {}

    def draw(self, array: Elementwise, sharding: jax.sharding.Sharding | None) -> Any:
        """Draw an array. Each device of a sharding gets its own part, and no process computes other parts.

        Args:
          array: the program.
          sharding: where the array is placed; None for the default device.
        """
        device = _device_of(array.arguments)
        array = dataclasses.replace(array, arguments=[_of_one_device(v) for v in array.arguments])
        if sharding is None:
            everything = tuple(slice(0, size) for size in array.shape)
            return jax.device_put(self._part(array, everything), device)
        # JAX calls the function below once for each device, also for devices that hold the same part.
        parts: dict[Any, np.ndarray[Any, Any]] = {}

        def part(index: tuple[slice, ...] | None) -> Any:
            bounds = tuple(
                slice(*one.indices(size)[:2])
                for one, size in zip(index or (), array.shape, strict=True)
            )
            key = tuple((one.start, one.stop) for one in bounds)
            if key not in parts:  # replicas share the part
                parts[key] = self._part(array, bounds)
            return parts[key]

        return jax.make_array_from_callback(array.shape, sharding, part)

    def _part(self, array: Elementwise, bounds: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        shape = tuple(one.stop - one.start for one in bounds)
        if not array.program.is_random:
            return np.full(shape, self._constant(array), array.dtype)
        result = np.empty(math.prod(shape), array.dtype)
        indices = None if shape == array.shape else _part_indices(bounds, array.shape)
        for start in range(0, result.size, _ROWS * BLOCK):
            part = result[start : start + _ROWS * BLOCK]
            part[:] = self._values(array, start, part.size, indices)
        return result.reshape(shape)

    def _constant(self, array: Elementwise) -> Any:
        """Return the value that all elements of an array have."""
        if not array.program.steps and array.arguments:
            return np.asarray(array.arguments[0]).ravel()[0]
        return self._values(array, 0, 1)[0]

    def _values(
        self, array: Elementwise, start: int, size: int, indices: Callable[..., Any] | None = None
    ) -> Any:
        """Return consecutive elements of an array, or of a part; the values are valid until the next call."""
        count = -(-size // BLOCK)
        where = array.dtype, _device_of(array.arguments)
        space = self._spaces.pop(where, None)
        if space is None:
            space = jnp.zeros((_ROWS, BLOCK), array.dtype)
        if indices is None:
            first = np.uint32(start >> _BLOCK_BITS)
            space = _draw_whole(array.program, array.arguments, count, first, _MINUS_ZERO, space)
        else:
            flat = np.zeros((_ROWS, BLOCK), np.uint64)
            flat.ravel()[:size] = indices(np.arange(start, start + size, dtype=np.uint64))
            high, low = (flat >> np.uint64(32)).astype(np.uint32), flat.astype(np.uint32)
            space = _draw_listed(
                array.program, array.arguments, count, high, low, _MINUS_ZERO, space
            )
        self._spaces[where] = space
        return np.asarray(space).ravel()[:size]


def _device_of(arguments: Sequence[Any]) -> Any:
    """Return the sharding that a committed key gives to what is drawn with it, else None."""
    for value in arguments:
        if isinstance(value, jax.Array):
            data = jax.random.key_data(value) if _is_key(value) else value
            if data.committed:
                return (
                    jax.sharding.NamedSharding(data.sharding.mesh, jax.P())
                    if isinstance(data.sharding, jax.sharding.NamedSharding)
                    else data.sharding
                )
    return None


def _of_one_device(value: Any) -> Any:
    """Return an argument without its mesh, which the workspace lacks; each device of it would draw each block."""
    if not isinstance(getattr(value, "sharding", None), jax.sharding.NamedSharding):
        return value
    first = value.addressable_shards[0]
    return first.data if value.is_fully_replicated else jax.device_put(value, first.device)


def _is_key(value: Array) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _part_indices(bounds: tuple[slice, ...], shape: tuple[int, ...]) -> Callable[..., Any]:
    """Return a function from flat indices into a part of an array to flat indices into the array."""
    run = 1  # elements of the part that are consecutive in the array
    axes = list(zip(bounds, shape, strict=True))
    stride = np.uint64(1)
    while axes:
        one, size = axes.pop()
        run *= one.stop - one.start
        offset = np.uint64(one.start) * stride
        stride *= np.uint64(size)
        if one.stop - one.start != size:
            break
    starts = np.full(1, offset)
    for one, size in reversed(axes):
        places = np.arange(one.start, one.stop, dtype=np.uint64) * stride
        starts = np.add.outer(places, starts).ravel()
        stride *= np.uint64(size)
    length = np.uint64(run)

    def of_array(flat: np.ndarray[Any, Any]) -> Any:
        rows = flat // length
        return starts[rows.astype(np.intp)] + (flat - rows * length)

    return of_array
