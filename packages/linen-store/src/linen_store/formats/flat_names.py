"""What stores over single files share: flat names made into a tree, and host arrays put in place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_store.errors import (
    DamagedCheckpointError,
    TorchLayoutError,
    TorchNamesError,
    UnknownOptionError,
    UnmappedNameError,
)
from linen_store.reading.buffers import aligned_empty, cast, cast_into, is_canonical, map_threads
from linen_store.reading.file_array import FileArray
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf, Tree, build_tree

__all__ = ["KeyMap", "Layout", "check_layout", "named_tree", "place", "value_spec"]

_LARGE_BYTES = 1 << 20

KeyMap: TypeAlias = (
    Mapping[str, str | Sequence[str] | None] | Callable[[str], str | Sequence[str] | None] | None
)
"""From a name in the file to the names in the tree, or one dotted name; None leaves the array out."""


Layout: TypeAlias = Literal["model"] | None
"""How the arrays of a file are laid out: as the model wants them, or as whoever wrote it does."""

_TORCH_FORMATS = {"pt", "mlx"}
"""Formats in the metadata of safetensors whose kernels are laid out as PyTorch's."""

_TORCH_NAMES = {"weight", "running_mean", "in_proj_weight"}
_FLAX_NAMES = {"kernel", "embedding"}


def check_layout(
    path: str, names: Iterable[str], layout: Layout, written_by: Collection[str | None] = ()
) -> None:
    """Refuse arrays of PyTorch's layout, unless the caller says that they have the model's.

    Args:
      path: the file, for the error.
      names: the dotted names of its arrays.
      layout: what the caller says.
      written_by: what the file says, or its parts.

    Raises:
      TorchLayoutError: the file says that it is PyTorch's.
      TorchNamesError: it says nothing, and has the names of a PyTorch model.
      UnknownOptionError: ``layout`` is none of its values.
    """
    if layout not in (None, "model"):
        raise UnknownOptionError("layout", layout, ("model",))
    if layout == "model" or set(written_by) == {"flax"}:
        return
    for writer in sorted(_TORCH_FORMATS.intersection(written_by)):
        raise TorchLayoutError(path, f"the format {writer!r} in its metadata")
    last = {name.rpartition(".")[2]: name for name in names}
    examples = [last[one] for one in sorted(_TORCH_NAMES & set(last))]
    if examples and not _FLAX_NAMES & set(last):
        raise TorchNamesError(path, examples[0])


def named_tree(
    path: str, names: Iterable[str], separator: str, key_map: KeyMap
) -> tuple[Tree, dict[tuple[str, ...], str]]:
    """Make a tree of flat names.

    Returns:
      The tree, and for each leaf its name in the file.

    Raises:
      UnmappedNameError: ``key_map`` lacks a name.
      DamagedCheckpointError: two names are the same, or one names a node above another.
    """
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        try:
            mapped = _mapped(name, key_map)
        except KeyError as error:
            raise UnmappedNameError(path, name) from error
        if mapped is None:
            continue
        parts = _parts(mapped, separator) if isinstance(mapped, str) else tuple(mapped)
        if parts in found:
            reason = f"{found[parts]!r} and {name!r} are both {parts}"
            raise DamagedCheckpointError(path, path, reason)
        found[parts] = name
    try:
        tree = build_tree((parts, (False,) * len(parts), Leaf(parts)) for parts in found)
    except ValueError as error:
        raise DamagedCheckpointError(path, path, str(error)) from error
    return tree, found


def _parts(name: str, separator: str) -> tuple[str, ...]:
    """Split a name as the file does; where it has no such separator, at "/", as variables are written elsewhere."""
    return tuple(name.split(separator if separator in name else "/"))


def _mapped(name: str, key_map: KeyMap) -> str | Sequence[str] | None:
    if key_map is None:
        return name
    return key_map[name] if isinstance(key_map, Mapping) else key_map(name)


def place(found: Sequence[tuple[np.ndarray[Any, Any] | FileArray, Leaf, Any]]) -> list[Any]:
    """Make of host arrays, or arrays in files, what their specs say.

    Of an array in a file only the parts are read that devices of this process need.
    """
    # Threads only help where numpy is busy copying for long.
    is_large = any(array.nbytes >= _LARGE_BYTES for array, _, _ in found)
    values = map_threads(_copied, found) if is_large else [_copied(one) for one in found]
    waiting = [index for index, value in enumerate(values) if isinstance(value, _ForDevice)]
    placed = jax.device_put([values[index].buffer for index in waiting]) if waiting else ()
    for index, array in zip(waiting, placed, strict=True):
        values[index] = array
    return values


class _ForDevice(NamedTuple):
    """A buffer that the default device shall have; all of them are handed over in one call."""

    buffer: np.ndarray[Any, Any]


def _copied(one: tuple[np.ndarray[Any, Any] | FileArray, Leaf, Any]) -> Any:
    array, leaf, spec = one
    if (leaf.kind == "numpy" and spec.sharding is None) or not is_canonical(spec.dtype):
        value = np.empty(spec.shape, spec.dtype)
        _fill(value, array)
        value.flags.writeable = False
        return value
    if spec.sharding is not None:
        return _sharded(array, spec)
    buffer = aligned_empty(spec.shape, spec.dtype)
    _fill(buffer, array)
    return _ForDevice(buffer)


def _fill(buffer: np.ndarray[Any, Any], array: np.ndarray[Any, Any] | FileArray) -> None:
    if isinstance(array, FileArray):
        array.read_into(buffer)
    else:
        cast_into(buffer, array)


def _sharded(array: np.ndarray[Any, Any] | FileArray, spec: Any) -> jax.Array:
    """Put each region where it belongs; it is read once, however many devices hold it."""
    regions: dict[str, np.ndarray[Any, Any]] = {}

    def region(index: Any) -> np.ndarray[Any, Any]:
        if str(index) not in regions:
            regions[str(index)] = cast(array[index], spec.dtype)
        return regions[str(index)]

    whole: jax.Array = jax.make_array_from_callback(spec.shape, spec.sharding, region)
    return whole


def value_spec(value: Any) -> Any:
    """Describe a value that is an array or a number; return any other as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return array_spec(value.shape, value.dtype)
    if isinstance(value, bool | int | float | complex):
        return array_spec((), np.result_type(value))
    return value
