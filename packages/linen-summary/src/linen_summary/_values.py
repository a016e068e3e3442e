"""Values as a table has them: specifications in place of arrays, their sizes, and what belongs to which call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.meta import Partitioned
from linen_core.module import Module
from linen_core.typing import Path

__all__ = [
    "MEASURE_NAMES",
    "array_text",
    "as_specs",
    "bytes_text",
    "count",
    "has_items",
    "is_value",
    "number_spec",
    "own_variables",
    "sentence",
    "short_number",
]

_NUMBERS = (bool, int, float, complex)
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "KB"))

MEASURE_NAMES = {
    "flops": "FLOPs",
    "vjp_flops": "VJP FLOPs",
    "macs": "MACs",
    "activation_bytes": "activation memory",
    "training_bytes": "activation memory in training",
}
"""What measures are called in a sentence."""


def is_value(leaf: Any) -> bool:
    """Return whether something is shown as one value: None, or an array in a box."""
    return leaf is None or isinstance(leaf, Partitioned)


def as_specs(tree: Any) -> Any:
    """Replace each array of a pytree by a `jax.ShapeDtypeStruct`, in its box if it has one.

    Python's own integers and floats, None and all that is no array stay what they are.

    Example:
      >>> as_specs({"x": jnp.ones(3), "scale": 2.0, "names": ("a", None)})
      {'names': ('a', None), 'scale': 2.0, 'x': ShapeDtypeStruct(shape=(3,), dtype=float32)}
    """
    return jax.tree.map(_as_spec, tree, is_leaf=is_value)


def _as_spec(leaf: Any) -> Any:
    if isinstance(leaf, Partitioned):
        return leaf.replace_boxed(as_specs(leaf.value))
    if isinstance(leaf, jax.ShapeDtypeStruct):  # a store may hold dtypes that JAX would narrow
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    if isinstance(leaf, int | float | Module):  # NumPy's float64 is a float, and shown as one
        return leaf
    if isinstance(leaf, complex) or _is_dtype(leaf):  # shown as a scalar
        return jax.ShapeDtypeStruct((), jnp.result_type(leaf))
    return _array_spec(leaf)


def _array_spec(leaf: Any) -> Any:
    """Describe what JAX takes as an array; shape and dtype alone make none."""
    if isinstance(leaf, type) or not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
        return leaf
    try:
        return jax.ShapeDtypeStruct(leaf.shape, jnp.result_type(leaf))
    except (TypeError, ValueError):
        return leaf


def number_spec(leaf: Any) -> Any:
    """Describe a number of Python as the array that it is where JAX takes it in; leave all else."""
    is_number = isinstance(leaf, int | float)
    return jax.ShapeDtypeStruct((), jnp.result_type(leaf)) if is_number else leaf


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
    """Return whether nested mappings hold anything but empty mappings."""
    return any(has_items(item) for item in tree.values()) if isinstance(tree, Mapping) else True


def variables_at(path: Path, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return what lies at a path, by collection; collections without it are left out."""
    found = {}
    for name, collection in variables.items():
        node = collection
        for part in path:
            if not isinstance(node, Mapping) or part not in node:
                break
            node = node[part]
        else:
            found[name] = node
    return found


def own_variables(
    path: Path, variables: Mapping[str, Any], owners: Collection[Path]
) -> dict[str, Any]:
    """Return what lies at a path without what lies at a path of other owners below it."""
    return {
        name: _without(path, node, owners) for name, node in variables_at(path, variables).items()
    }


def _without(path: Path, node: Any, owners: Collection[Path]) -> Any:
    if not isinstance(node, Mapping):
        return node
    kept = {}
    for name, child in node.items():
        below = (*path, name)
        if below in owners and isinstance(child, Mapping):
            continue
        rest = _without(below, child, owners)
        if has_items(rest) or not has_items(child):
            kept[name] = rest
    return kept


def sentence(text: str) -> str:
    """Begin a text with a capital letter, and leave its other letters.

    Example:
      >>> sentence("activation memory of LSTM")
      'Activation memory of LSTM'
    """
    return text[:1].upper() + text[1:]
