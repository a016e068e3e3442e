"""Drawing of arrays inside a function that is compiled as a whole, such as that of `jax.jit`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.deferred.drawing import BLOCK, consecutive_indices, draw_blocks
from linen_core.deferred.program import Elementwise
from linen_core.typing import Array

__all__ = ["MAX_INDEXED", "fill_by_shape", "fill_traced"]

MAX_INDEXED = 1 << 32
"""Arrays of so many elements have indices of more than 32 bits, which `fill_by_shape` does not compute."""


def fill_traced(arrays: Sequence[Elementwise]) -> list[Any]:
    """Compute arrays of equal programs in one loop over the arrays, whose body is compiled once.

    XLA compiles a kernel for each slice, which takes longer than to draw the array. It compiles nothing for a copy of a
    whole array. So each array is drawn into a workspace; one kernel for each size takes it from there; and a loop that
    runs once or never copies it to its place. Peak memory is the results and twice the largest.
    """
    groups: dict[int, list[int]] = {}
    for index, array in enumerate(arrays):
        groups.setdefault(math.prod(array.shape), []).append(index)
    order = [index for members in groups.values() for index in members]
    draw = _drawing_of([arrays[index] for index in order])
    ends = np.cumsum([len(members) for members in groups.values()]).tolist()
    dtype = arrays[0].dtype

    def step(turn: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        space = draw(turn, state[0])
        places = []
        for size, end, (flags, buffers) in zip(groups, ends, state[1], strict=True):

            def put(now: Any, size: int = size) -> Any:
                _, flags, buffers = now
                return jnp.array(False), *_put(jnp.ravel(space)[:size], flags, buffers)

            is_here = (turn >= end - len(flags)) & (turn < end)
            places.append(
                jax.lax.while_loop(lambda now: now[0], put, (is_here, flags, buffers))[1:]
            )
        return space, places

    places = [
        (
            [jnp.array(number == 0) for number in range(len(members))],
            [jnp.zeros(size, dtype) for _ in members],
        )
        for size, members in groups.items()
    ]
    space = jnp.zeros((max(map(_blocks, arrays)), BLOCK), dtype)
    _, places = jax.lax.fori_loop(0, len(order), step, (space, places))
    flat = dict(zip(order, (buffer for _, buffers in places for buffer in buffers), strict=True))
    return [jnp.reshape(flat[index], array.shape) for index, array in enumerate(arrays)]


def fill_by_shape(arrays: Sequence[Elementwise]) -> list[Any]:
    """Compute arrays of equal programs in one loop for each shape. Each has fewer than `MAX_INDEXED` elements.

    The compiler can partition these loops: a device then draws its part of each array, and holds no other part.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, array in enumerate(arrays):
        groups.setdefault(array.shape, []).append(index)
    values: dict[int, Any] = {}
    for members in groups.values():
        values.update(zip(members, _fill_shape([arrays[index] for index in members]), strict=True))
    return [values[index] for index in range(len(arrays))]


def _fill_shape(arrays: Sequence[Elementwise]) -> list[Any]:
    shape, program = arrays[0].shape, arrays[0].program
    arguments = _arguments_of(arrays)

    def draw(number: Any) -> Any:
        low = sum(
            jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
            * np.uint32(math.prod(shape[axis + 1 :]))
            for axis in range(len(shape))
        )
        return program.run(arguments(number), jnp.zeros_like(low), low, None)

    if len(arrays) == 1:
        return [draw(0)]

    def step(number: Array, state: Any) -> Any:
        return _put(draw(number), *state)

    flags = [jnp.array(number == 0) for number in range(len(arrays))]
    buffers = [jnp.zeros(shape, arrays[0].dtype) for _ in arrays]
    _, filled = jax.lax.fori_loop(0, len(arrays), step, (flags, buffers))
    return list(filled)


def _put(value: Array, flags: list[Any], buffers: list[Any]) -> Any:
    """Copy a value to the buffer whose flag is set, and set the flag of the next buffer instead."""
    filled = [_copied_if(flag, value, buffer) for flag, buffer in zip(flags, buffers, strict=True)]
    return [*flags[-1:], *flags[:-1]], filled


@jax.jit  # traced once for each size
def _copied_if(flag: Array, value: Array, buffer: Array) -> Any:
    """Return a value if a flag is set, else a buffer, as a loop that the compiler runs in the place of the buffer."""
    state = (flag, buffer)
    return jax.lax.while_loop(lambda now: now[0], lambda _: (jnp.array(False), value), state)[1]


def _blocks(array: Elementwise) -> int:
    return -(-math.prod(array.shape) // BLOCK)


def _drawing_of(arrays: Sequence[Elementwise]) -> Callable[[Array, Array], Any]:
    """Return a function that draws the array of a number into the rows of a workspace."""
    counts = jnp.array(list(map(_blocks, arrays)), jnp.int32)
    arguments = _arguments_of(arrays)

    def draw(number: Array, space: Array) -> Any:
        def indices(row: Array) -> tuple[Array, Array]:
            return consecutive_indices(row.astype(jnp.uint32))

        return draw_blocks(
            arrays[0].program, arguments(number), counts[number], indices, space, None
        )

    return draw


def _arguments_of(arrays: Sequence[Elementwise]) -> Callable[[Any], list[Any]]:
    """Return a function that returns the arguments of the program of an array, given its number."""
    columns = list(zip(*(array.arguments for array in arrays), strict=True))
    shared = [all(_is_same(value, column[0]) for value in column) for column in columns]
    varying = [
        None if is_shared else _stacked(column)
        for column, is_shared in zip(columns, shared, strict=True)
    ]

    def of(number: Any) -> list[Any]:
        return [
            column[0] if stack is None else stack[number]
            for column, stack in zip(columns, varying, strict=True)
        ]

    return of


def _is_same(value: Any, other: Any) -> bool:
    if value is other:
        return True
    are_known = isinstance(value, np.ndarray) and isinstance(other, np.ndarray)
    return are_known and bool(np.array_equal(value, other))


def _stacked(values: Sequence[Any]) -> Any:
    if all(isinstance(value, np.ndarray | np.generic) for value in values):
        return jnp.asarray(np.stack(values))
    return jnp.stack([jnp.asarray(value) for value in values])
