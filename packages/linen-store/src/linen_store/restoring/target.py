"""A pytree to restore: a train state, the state of an optimiser, or any tree of arrays or specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.errors import RestoreTargetError
from linen_store.reading.specs import array_spec, flatten_names, is_array_spec
from linen_store.reading.stored import Names, Stored

__all__ = ["Target"]

_NUMBERS = (bool, int, float, complex)


class Target:
    """A pytree to restore. Each leaf is matched by the names that lead to it.

    Args:
      tree: the pytree. Only the shapes, dtypes and explicit devices of its arrays are used.

    Raises:
      RestoreTargetError: it is not a pytree of arrays, specs, numbers and strings.
    """

    noun = "the pytree"

    uses_whole_store = True
    """Every stored array should be a leaf of the pytree."""

    def __init__(self, tree: Any) -> None:
        self.name = type(tree).__name__
        self._names, self._leaves, self._structure = flatten_names(tree)
        if self._names == [()] and not _is_array(tree):
            raise RestoreTargetError(self.name, "it is neither a model nor a pytree")
        for names, leaf in zip(self._names, self._leaves, strict=True):
            if not (_is_array(leaf) or isinstance(leaf, (*_NUMBERS, str))):
                found = f"it has a {type(leaf).__name__} at {'/'.join(names)!r}"
                raise RestoreTargetError(self.name, found)
        self._by_name = dict(zip(self._names, self._leaves, strict=True))

    def expected(self, rngs: Any) -> Any:
        """Describe the leaves, in the structure of the pytree; numbers and strings are unchanged."""
        specs = [
            array_spec(leaf.shape, leaf.dtype) if _is_array(leaf) else leaf for leaf in self._leaves
        ]
        return jax.tree_util.tree_unflatten(self._structure, specs)

    def also_reads(self, variables: Any, unused: Mapping[Names, Stored], rngs: Any) -> set[Names]:
        """Return an empty set: a pytree reads only its leaves."""
        return set()

    def can_initialize(self, names: Names) -> bool:
        """Return whether the leaf has a value to keep."""
        return not is_array_spec(self._by_name[names])

    def initialized(self, missing: Sequence[Names], rngs: Any) -> dict[Names, Any]:
        """Return the pytree's own values for the leaves that are not stored."""
        return {names: self._by_name[names] for names in missing}

    def sharding(self, names: Names, spec: Any) -> jax.sharding.Sharding | None:
        """Return the sharding of a leaf: that of its spec, or of an array that was explicitly placed."""
        leaf = self._by_name.get(names)
        is_placed = is_array_spec(leaf) or (isinstance(leaf, jax.Array) and leaf.committed)
        return leaf.sharding if is_placed else None  # type: ignore[union-attr]

    def finished(self, names: Names, value: Any) -> Any:
        """Convert a value to the type of the leaf: a number, or an array of JAX or numpy."""
        leaf = self._by_name[names]
        if isinstance(leaf, str):
            return value
        if isinstance(leaf, _NUMBERS):
            return value.item() if hasattr(value, "item") else type(leaf)(value)
        if isinstance(leaf, np.ndarray | np.generic):
            return np.asarray(value)
        if not isinstance(value, jax.Array | np.ndarray):
            placed: Any = jnp.asarray(value, leaf.dtype)
            where = self.sharding(names, None)
            return placed if where is None else jax.device_put(placed, where)
        return value


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array | np.ndarray | np.generic) or is_array_spec(value)
