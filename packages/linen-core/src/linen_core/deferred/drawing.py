"""Arrays from elementwise programs: one compiled program for a block of elements fills arrays of any shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.deferred.program import Elementwise, Program
from linen_core.typing import Array

__all__ = ["fill_eagerly", "fill_traced"]

# A block is computed whole even if an array needs a part of it. Small blocks waste less; large ones call less often.
_BLOCK = 1 << 14
_LARGE_BLOCK = 1 << 20
_LARGE = 1 << 27
"""Elements of an array from which on a second program, for large blocks, is worth its compilation."""
_MINUS_ZERO = np.float32(-0.0)


@functools.partial(jax.jit, static_argnums=0)
def _block(program: Program, arguments: list[Any], high: Array, low: Array, zero: Array) -> Array:
    return program.run(arguments, high, low, zero)


def fill_eagerly(array: Elementwise, sharding: jax.sharding.Sharding | None) -> Any:
    """Compute a whole array. Each device of a sharding gets its own part, and no process computes other parts.

    Args:
      array: the program.
      sharding: where the array is placed; None for the default device.
    """
    if sharding is None:
        everything = tuple(slice(0, size) for size in array.shape)
        return jax.device_put(_part(array, everything), _device_of(array.arguments))
    # JAX calls the function below once for each device, also for devices that hold the same part.
    parts: dict[Any, np.ndarray[Any, Any]] = {}

    def part(index: tuple[slice, ...] | None) -> Any:
        bounds = tuple(
            slice(*one.indices(size)[:2])
            for one, size in zip(index or (), array.shape, strict=True)
        )
        key = tuple((one.start, one.stop) for one in bounds)
        if key not in parts:  # replicas share the part
            parts[key] = _part(array, bounds)
        return parts[key]

    return jax.make_array_from_callback(array.shape, sharding, part)


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


def _is_key(value: Array) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _part(array: Elementwise, bounds: tuple[slice, ...]) -> np.ndarray[Any, Any]:
    shape = tuple(one.stop - one.start for one in bounds)
    size = math.prod(shape)
    if not array.program.is_random:
        return np.full(shape, _constant(array), array.dtype)
    result = np.empty(size, array.dtype)
    block = _LARGE_BLOCK if size >= _LARGE else _BLOCK
    offsets = np.arange(block, dtype=np.uint32)
    for start in range(0, size, block):
        stop = min(start + block, size)
        if (
            shape == array.shape
        ):  # blocks are aligned: the upper bits are the same in all of a block
            high, low = (
                np.full(block, start >> 32, np.uint32),
                offsets + np.uint32(start % (1 << 32)),
            )
        else:
            flat = np.minimum(np.arange(start, start + block, dtype=np.uint64), size - 1)
            flat = _flat_index(flat, shape, bounds, array.shape)
            high, low = (flat >> np.uint64(32)).astype(np.uint32), flat.astype(np.uint32)
        values = _block(array.program, array.arguments, high, low, _MINUS_ZERO)
        result[start:stop] = np.asarray(values)[: stop - start]
    return result.reshape(shape)


def _constant(array: Elementwise) -> Any:
    """Return the value that all elements of an array have."""
    if not array.program.steps and array.arguments:
        return np.asarray(array.arguments[0]).ravel()[0]
    zeros = np.zeros(1, np.uint32)
    return np.asarray(_block(array.program, array.arguments, zeros, zeros, _MINUS_ZERO))[0]


def _flat_index(
    flat: np.ndarray[Any, Any],
    part: tuple[int, ...],
    bounds: tuple[slice, ...],
    shape: tuple[int, ...],
) -> np.ndarray[Any, Any]:
    """Translate flat indices into a part to flat indices into the whole array."""
    whole = np.zeros_like(flat)
    stride = 1
    for part_size, one, size in zip(part[::-1], bounds[::-1], shape[::-1], strict=True):
        whole += (flat % np.uint64(part_size) + np.uint64(one.start)) * np.uint64(stride)
        flat = flat // np.uint64(part_size)
        stride *= size
    return whole


def fill_traced(arrays: Sequence[Elementwise]) -> list[Any]:
    """Compute arrays of equal programs inside an outer trace, in one loop whose body is compiled once."""
    blocks = [-(-math.prod(array.shape) // _BLOCK) for array in arrays]
    members = np.repeat(np.arange(len(arrays), dtype=np.int32), blocks)
    numbers = np.concatenate([np.arange(count, dtype=np.uint64) for count in blocks])
    starts = numbers * np.uint64(_BLOCK)
    columns = list(zip(*(array.arguments for array in arrays), strict=True))
    shared = [all(_is_same(value, column[0]) for value in column) for column in columns]
    varying = [
        None if is_shared else _stacked(column)
        for column, is_shared in zip(columns, shared, strict=True)
    ]

    def body(step: tuple[Array, Array, Array]) -> Array:
        member, high, low = step
        arguments = [
            column[0] if stack is None else stack[member]
            for column, stack in zip(columns, varying, strict=True)
        ]
        offsets = low + jnp.arange(_BLOCK, dtype=jnp.uint32)  # blocks are aligned: no carry
        return arrays[0].program.run(
            arguments, jnp.broadcast_to(high, (_BLOCK,)), offsets, _MINUS_ZERO
        )

    high, low = (starts >> np.uint64(32)).astype(np.uint32), starts.astype(np.uint32)
    flat = jnp.ravel(jax.lax.map(body, (members, high, low)))
    results = []
    position = 0
    for array, count in zip(arrays, blocks, strict=True):
        size = math.prod(array.shape)
        part = jax.lax.slice(flat, (position,), (position + size,))
        results.append(jnp.reshape(part, array.shape))
        position += count * _BLOCK
    return results


def _is_same(value: Any, other: Any) -> bool:
    if value is other:
        return True
    are_known = isinstance(value, np.ndarray) and isinstance(other, np.ndarray)
    return are_known and bool(np.array_equal(value, other))


def _stacked(values: Sequence[Any]) -> Any:
    if all(isinstance(value, np.ndarray | np.generic) for value in values):
        return jnp.asarray(np.stack(values))
    return jnp.stack([jnp.asarray(value) for value in values])
