"""Specifications of arrays: shapes, dtypes, shardings, regions and names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.errors import StoreDtypeError

__all__ = [
    "Bounds",
    "array_spec",
    "cast_spec",
    "count_elements",
    "flatten_names",
    "floating_dtype",
    "integer_nodes",
    "is_array_spec",
    "is_key",
    "is_storable",
    "is_text",
    "key_data_spec",
    "key_name",
    "local_regions",
    "nbytes",
    "region_bounds",
    "render_spec",
]

Bounds: TypeAlias = tuple[tuple[int, int], ...]
"""A region of an array: where it starts and stops on each axis."""


def array_spec(shape: Sequence[int], dtype: Any, sharding: Any = None) -> jax.ShapeDtypeStruct:
    """Describe an array."""
    make: Any = jax.ShapeDtypeStruct
    described: jax.ShapeDtypeStruct = make(tuple(shape), dtype, sharding=sharding)
    return described


def floating_dtype(dtype: Any) -> Any:
    """Return a dtype to cast to; None stays None.

    Raises:
      StoreDtypeError: it is not a floating-point dtype.
    """
    if dtype is None:
        return None
    checked: Any = jnp.dtype(dtype)
    if not jnp.issubdtype(checked, jnp.floating):
        raise StoreDtypeError(checked)
    return checked


def cast_spec(spec: jax.ShapeDtypeStruct, dtype: Any) -> jax.ShapeDtypeStruct:
    """Replace the dtype of a floating-point array, unless ``dtype`` is None."""
    stored: Any = spec.dtype
    if dtype is None or not jnp.issubdtype(stored, jnp.floating):
        return spec
    return array_spec(spec.shape, jnp.dtype(dtype), spec.sharding)


def is_array_spec(value: Any) -> bool:
    """Return whether a value describes an array."""
    return isinstance(value, jax.ShapeDtypeStruct)


def is_key(array: Any) -> bool:
    """Return whether an array, or what describes one, is of PRNG keys."""
    dtype = array.dtype  # numpy has no such dtype
    return not isinstance(dtype, np.dtype) and bool(jnp.issubdtype(dtype, jax.dtypes.prng_key))


def region_bounds(index: Sequence[slice], shape: Sequence[int]) -> Bounds:
    """Return the bounds of slices."""
    return tuple(part.indices(size)[:2] for part, size in zip(index, shape, strict=True))


def count_elements(regions: Iterable[Bounds]) -> int:
    """Count the elements of regions."""
    return sum(math.prod(stop - start for start, stop in bounds) for bounds in regions)


def local_regions(shape: Sequence[int], sharding: Any) -> list[Bounds]:
    """List the different regions of an array that devices of this process hold."""
    indices = sharding.addressable_devices_indices_map(tuple(shape)).values()
    return list(dict.fromkeys(region_bounds(index, shape) for index in indices))


def is_storable(dtype: np.dtype[Any]) -> bool:
    """Return whether Orbax stores a dtype: numbers, including those of JAX, except long doubles."""
    if dtype.kind == "V":  # bfloat16 and other small floats of JAX, not records
        return dtype.type is not np.void
    return dtype.kind in "biufc" and dtype.char not in "gG"


def is_text(value: str) -> bool:
    """Return whether a string can be written as UTF-8, which half a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def render_spec(value: Any) -> str:
    """Render a leaf, as ``float32(3, 4)``."""
    if value is None:
        return "None"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{tuple(value.shape)}"
    return type(value).__name__


def flatten_names(
    tree: Any, *, nones: bool = False
) -> tuple[list[tuple[str, ...]], list[Any], Any]:
    """Flatten a pytree into the names that lead to each leaf, the leaves, and the structure.

    To JAX, None is a container of nothing; with ``nones`` it is a leaf.
    """
    is_leaf = (lambda value: value is None) if nones else None
    found, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)
    return [tuple(map(key_name, keys)) for keys, _ in found], [leaf for _, leaf in found], structure


def key_name(key: Any) -> str:
    """Name one step of a key path as Orbax names it."""
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def integer_nodes(paths: Iterable[Sequence[Any]]) -> list[tuple[str, ...]]:
    """List the dicts whose keys are integers, by the names that lead to them.

    Args:
      paths: the key paths of all leaves, as JAX returns them.
    """
    found = {
        keys[:depth]
        for keys in paths
        for depth, key in enumerate(keys)
        if isinstance(key, jax.tree_util.DictKey) and type(key.key) is int
    }
    return sorted(tuple(map(key_name, keys)) for keys in found)


def nbytes(spec: Any) -> int:
    """Compute the size of a described array, in bytes."""
    if not is_array_spec(spec):
        return 0
    data = spec if isinstance(spec.dtype, np.dtype) else key_data_spec(spec)
    return int(math.prod(data.shape) * data.dtype.itemsize)


def key_data_spec(array: Any) -> Any:
    """Describe the data of PRNG keys; return other arrays unchanged."""
    if not is_key(array):
        return array
    return jax.eval_shape(jax.random.key_data, array)
