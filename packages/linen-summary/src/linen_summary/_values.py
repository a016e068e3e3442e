"""What becomes of values on their way into a table: specifications that hold no array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.meta import Partitioned

__all__ = ["array_text", "as_specs", "bytes_text", "count", "has_items", "is_value", "short_number"]

_NUMBERS = (bool, int, float, complex)
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"))


def is_value(leaf: Any) -> bool:
    """Tell whether something is shown as one value: None, or an array in a box."""
    return leaf is None or isinstance(leaf, Partitioned)


def as_specs(tree: Any) -> Any:
    """Replace each array of a pytree by a `jax.ShapeDtypeStruct`, in its box if it has one.

    Python's own numbers, None and all that is no array stay what they are.
    """
    return jax.tree.map(_as_spec, tree, is_leaf=is_value)


def _as_spec(leaf: Any) -> Any:
    if isinstance(leaf, Partitioned):
        return leaf.replace_boxed(as_specs(leaf.value))
    if _is_dtype(leaf):  # shown as a scalar of it
        return jax.ShapeDtypeStruct((), jnp.result_type(leaf))
    if isinstance(leaf, int | float):  # NumPy's float64 is a float as well, and shown as one
        return leaf
    is_array = hasattr(leaf, "shape") and hasattr(leaf, "dtype") and not isinstance(leaf, type)
    return jax.ShapeDtypeStruct(leaf.shape, jnp.result_type(leaf)) if is_array else leaf


def _is_dtype(leaf: Any) -> bool:
    if not isinstance(leaf, type):
        return isinstance(leaf, np.dtype)
    return leaf in _NUMBERS or isinstance(getattr(leaf, "dtype", None), np.dtype)


def array_text(spec: jax.ShapeDtypeStruct) -> tuple[str, str]:
    """Name an array's dtype and shape, for example ``("float32", "[16,9]")``."""
    return str(spec.dtype), f"[{','.join(map(str, spec.shape))}]"


def count(tree: Any) -> tuple[int, int]:
    """Count the elements and bytes of the arrays of a tree.

    Returns:
      The number of elements, and the bytes that they take.

    Example:
      >>> count({"kernel": jax.ShapeDtypeStruct((9, 4), jnp.float32)})
      (36, 144)
    """
    arrays = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "size")]
    return (
        sum(array.size for array in arrays),
        sum(array.size * array.dtype.itemsize for array in arrays),
    )


def bytes_text(number: int) -> str:
    """Render a number of bytes in a unit of powers of 1000.

    Example:
      >>> bytes_text(999), bytes_text(123_456)
      ('999 B', '123.5 KB')
    """
    for size, unit in _UNITS:
        if number > size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,} B"


def short_number(number: int) -> str:
    """Render a count with three digits and a unit of powers of 1000.

    Example:
      >>> short_number(999), short_number(123_456)
      ('999', '123 k')
    """
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            digits = ".3g" if number < 999.5 * size else ".0f"
            return f"{number / size:{digits}} {unit}"
    return str(number)


def has_items(tree: Any) -> bool:
    """Tell whether nested mappings hold anything but empty mappings."""
    return any(has_items(item) for item in tree.values()) if isinstance(tree, Mapping) else True
