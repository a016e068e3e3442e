"""The leaves of a save: checked, described, and in the form that Orbax takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core import VariableStore
from linen_store.errors import (
    NameCollisionError,
    UnencodableNameError,
    UnsortableNamesError,
    UnsupportedLeafError,
)
from linen_store.formats.orbax.checksums import Checksums
from linen_store.formats.orbax.chunks import Chunk, own_chunks, whole
from linen_store.formats.orbax.layout import NOTHING
from linen_store.formats.writing import MASKED
from linen_store.reading.specs import (
    integer_nodes,
    is_key,
    is_storable,
    is_text,
    key_data_spec,
    key_name,
    render_spec,
)
from linen_store.reading.tree import Kind

__all__ = ["SavedTree"]


class SavedTree:
    """The leaves of a tree that is saved, with their names.

    Args:
      path: the path of the save, for errors.
      variables: a nested mapping, a store or another pytree.

    Raises:
      UnencodableNameError: a name cannot be written as UTF-8.
      NameCollisionError: two leaves would have the same name once joined by dots.
      UnsortableNamesError: the names in a dict are of types that cannot be compared.
      UnsupportedLeafError: a value cannot be saved.
    """

    def __init__(self, path: str, variables: Any) -> None:
        tree = _plain(variables)
        if isinstance(tree, dict) and not tree:
            tree = {NOTHING: None}
        found, self._treedef = _flattened(path, tree)
        names = [tuple(map(key_name, keys)) for keys, _ in found]
        self._integers = integer_nodes(keys for keys, _ in found)
        self.joined = _joined_names(path, names)
        self.leaves = [
            _saveable(path, one, leaf) for one, (_, leaf) in zip(names, found, strict=True)
        ]

    def describe(self) -> dict[str, str]:
        """Describe each leaf by name. In all processes of a save the descriptions are the same."""
        return {
            name: ("a global " if _is_global(leaf) else "") + render_spec(leaf)
            for name, leaf in zip(self.joined, self.leaves, strict=True)
        }

    @property
    def is_global(self) -> bool:
        """True if several processes hold parts of an array."""
        return any(map(_is_global, self.leaves))

    def for_orbax(self) -> Any:
        """Return the tree with leaves that Orbax takes."""
        return jax.tree_util.tree_unflatten(self._treedef, map(_for_orbax, self.leaves))

    def chunks(self, *, with_local: bool = True) -> dict[str, list[Chunk]]:
        """Compute the CRC-32s of the parts that this process saves, by the names of the arrays.

        Args:
          with_local: also of values that this process alone holds.
        """
        found = {
            name: own_chunks(_data(leaf) if isinstance(leaf, jax.Array) else np.asarray(leaf))
            for name, leaf in zip(self.joined, self.leaves, strict=True)
            if _is_global(leaf) or (with_local and _has_values(leaf))
        }
        return {name: chunks for name, chunks in found.items() if chunks}

    def checksums(
        self,
        chunks: Mapping[str, Sequence[Chunk]],
        files: dict[str, tuple[int, int]],
        top: dict[str, tuple[int, int]],
    ) -> Checksums:
        """Return the record of the tree.

        Args:
          chunks: the chunks of all processes.
          files: the size and CRC-32 of each file of the item.
          top: the size and CRC-32 of each file of the checkpoint beside the item.
        """
        arrays = dict(self._array_records())
        shapes = {name: tuple(shape) for name, (shape, _, _) in arrays.items()}
        single = {
            name: found[0].crc
            for name, found in chunks.items()
            if found[0].bounds == whole(shapes.get(name, ()))
        }
        named = list(zip(self.joined, self.leaves, strict=True))
        return Checksums(
            leaves=single,
            files=files,
            top=top,
            arrays=arrays,
            keys={
                name: str(jax.random.key_impl(leaf)) for name, leaf in named if _is_bare_key(leaf)
            },
            integers=self._integers,
            chunks={name: found for name, found in chunks.items() if name not in single},
            hosted=[name for name, leaf in named if _is_hosted(leaf)],
        )

    def _array_records(self) -> Iterator[tuple[str, tuple[Sequence[int], str, Kind]]]:
        for name, leaf in zip(self.joined, self.leaves, strict=True):
            if isinstance(leaf, np.ndarray):
                yield name, (leaf.shape, leaf.dtype.name, "numpy")
            elif isinstance(leaf, jax.Array):
                data = key_data_spec(leaf)
                yield name, (data.shape, data.dtype.name, "array")


def _plain(variables: Any) -> Any:
    """Convert stores and mappings to the plain containers that Orbax takes."""
    if isinstance(variables, VariableStore):
        return variables.snapshot()
    if not isinstance(variables, Mapping):
        return variables
    return {name: _plain(child) for name, child in variables.items()}


def _flattened(path: str, tree: Any) -> tuple[list[tuple[tuple[Any, ...], Any]], Any]:
    try:
        return jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
    except ValueError as error:
        nodes = jax.tree.leaves(tree, is_leaf=_is_unsortable)
        unsortable = next(filter(_is_unsortable, nodes), None)
        if unsortable is None:
            raise
        raise UnsortableNamesError(path, list(unsortable)) from error


def _is_unsortable(node: Any) -> bool:
    if isinstance(node, dict):
        try:
            sorted(node)
        except TypeError:
            return True
    return False


def _is_none(value: Any) -> bool:
    return value is None


def _joined_names(path: str, leaves: Sequence[tuple[str, ...]]) -> list[str]:
    seen: dict[str, tuple[str, ...]] = {}
    for names in leaves:
        joined = ".".join(names)
        if not is_text(joined):
            raise UnencodableNameError(path, names)
        if joined in seen:
            raise NameCollisionError(path, joined, seen[joined], names)
        seen[joined] = names
    return list(seen)


def _saveable(path: str, names: tuple[str, ...], leaf: Any) -> Any:
    """Convert a leaf to a type that Orbax takes, or raise."""
    if isinstance(leaf, jax.core.Tracer):
        raise UnsupportedLeafError(path, names, "a tracer inside a JAX transformation")
    if isinstance(leaf, jax.Array):
        if leaf.is_deleted():
            raise UnsupportedLeafError(path, names, "a deleted (donated) array")
        return leaf
    if isinstance(leaf, np.generic):
        leaf = np.asarray(leaf)
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise UnsupportedLeafError(path, names, "a ShapeDtypeStruct, which has no values")
    if isinstance(leaf, np.ma.MaskedArray):
        raise UnsupportedLeafError(path, names, MASKED)
    if isinstance(leaf, np.ndarray):
        if not is_storable(leaf.dtype):
            raise UnsupportedLeafError(path, names, f"a numpy array of {leaf.dtype}")
        # Orbax stores numbers in the machine's byte order, and the CRC-32 is of the stored bytes.
        return leaf.astype(leaf.dtype.newbyteorder("="), copy=False)
    if isinstance(leaf, int) and not -(2**63) <= leaf < 2**64:
        raise UnsupportedLeafError(path, names, "an integer of more than 64 bits")
    if isinstance(leaf, str) and not is_text(leaf):
        raise UnsupportedLeafError(path, names, "a string with half a surrogate pair in it")
    if leaf is None or isinstance(leaf, bool | int | float | str):
        return leaf
    raise UnsupportedLeafError(path, names, f"a {type(leaf).__name__}")


def _for_orbax(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array | np.ndarray) and leaf.size == 0:
        return None
    return np.asarray(_data(leaf)) if _is_hosted(leaf) else leaf


def _has_values(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | bool | int | float)


def _is_global(leaf: Any) -> bool:
    """Return whether devices of other processes hold parts of a leaf."""
    return isinstance(leaf, jax.Array) and not leaf.is_fully_addressable


def _is_hosted(leaf: Any) -> bool:
    """Return whether Orbax holds a jax array as a numpy array: of several processes, one alone has it."""
    return jax.process_count() > 1 and isinstance(leaf, jax.Array) and not _is_global(leaf)


def _is_bare_key(leaf: Any) -> bool:
    """Return whether a leaf is an array of keys that Orbax does not store as keys."""
    is_keys = isinstance(leaf, jax.Array) and is_key(leaf)
    return is_keys and (_is_hosted(leaf) or leaf.size == 0)


def _data(leaf: jax.Array) -> jax.Array:
    """Return the data of PRNG keys, and other arrays unchanged."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf
