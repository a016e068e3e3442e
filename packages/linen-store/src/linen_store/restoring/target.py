"""A pytree that is restored: a train state, the state of an optimiser, or any tree of arrays or specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.errors import RestoreTargetError
from linen_store.reading.specs import array_spec, flatten_names, is_array_spec
from linen_store.restoring.matching import Names, Stored

__all__ = ["Target"]

_NUMBERS = (bool, int, float, complex)


class Target:
    """A pytree to restore: each leaf is found by the names that lead to it.

    Args:
      tree: the pytree. Of its arrays only shapes and dtypes matter, and where they lie if that was
        said.

    Raises:
      RestoreTargetError: it is not a pytree of arrays, specs, numbers and strings.
    """

    noun = "the pytree"

    wants_all = True
    """Whether all that is stored ought to be wanted."""

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
        """Describe the leaves, in the structure of the pytree; numbers and strings as they are."""
        specs = [
            array_spec(leaf.shape, leaf.dtype) if _is_array(leaf) else leaf for leaf in self._leaves
        ]
        return jax.tree_util.tree_unflatten(self._structure, specs)

    def also_reads(self, variables: Any, more: Mapping[Names, Stored], rngs: Any) -> set[Names]:
        """Return nothing: a pytree reads no more than its leaves."""
        return set()

    def can_initialize(self, names: Names) -> bool:
        """Return whether the leaf has a value that it can keep."""
        return not is_array_spec(self._by_name[names])

    def initialized(self, missing: Sequence[Names], rngs: Any) -> dict[Names, Any]:
        """Return the pytree's own values for what is not stored."""
        return {names: self._by_name[names] for names in missing}

    def sharding(self, names: Names, spec: Any) -> jax.sharding.Sharding | None:
        """Return where the pytree wants a leaf: an array stays where it was put on purpose."""
        leaf = self._by_name.get(names)
        is_placed = is_array_spec(leaf) or (isinstance(leaf, jax.Array) and leaf.committed)
        return leaf.sharding if is_placed else None  # type: ignore[union-attr]

    def finished(self, names: Names, value: Any) -> Any:
        """Make what was read the kind of value that the leaf is: a number, or an array of JAX or numpy."""
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
