"""A call of a model, whose variables are restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_store.errors import RngsMissingError
from linen_store.reading.specs import array_spec, flatten_names, is_array_spec
from linen_store.reading.stored import Names, Stored

__all__ = ["Call"]

_ARRAYS = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)


class Call:
    """A call of a model. Its arrays are traced; its other arguments are passed unchanged.

    Args:
      model: the module.
      args: the positional arguments.
      kwargs: the keyword arguments.
    """

    noun = "the model"

    uses_whole_store = False
    """A model does not use every collection of a store."""

    def __init__(self, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.model = model
        self.name = type(model).__name__
        inputs = (tuple(args), dict(kwargs))
        self._leaves, self._structure = jax.tree_util.tree_flatten(inputs)
        self._traced = [i for i, leaf in enumerate(self._leaves) if isinstance(leaf, _ARRAYS)]

    def expected(self, rngs: Any) -> Any:
        """Describe the variables that `init` of the call makes, in its structure."""
        arrays = [array_spec(leaf.shape, leaf.dtype) for leaf in self._traced_leaves()]
        return jax.eval_shape(self._init, _some_key(rngs), arrays)

    def can_initialize(self, names: Names) -> bool:
        """Return True: a model can initialise each of its variables."""
        return True

    def initialized(self, missing: Sequence[Names], rngs: Any) -> dict[Names, Any]:
        """Initialise the variables that the store lacks; the compiler drops the work for the others.

        Raises:
          RngsMissingError: ``rngs`` is None.
        """
        if rngs is None:
            raise RngsMissingError(self.name, missing)
        chosen = set(missing)

        def initialize(keys: Any, arrays: Sequence[Any]) -> dict[Names, Any]:
            names, leaves, _ = flatten_names(self._init(keys, arrays))
            return {name: leaf for name, leaf in zip(names, leaves, strict=True) if name in chosen}

        zeros = [
            jnp.zeros(leaf.shape, leaf.dtype) if is_array_spec(leaf) else leaf
            for leaf in self._traced_leaves()
        ]
        fresh: dict[Names, Any] = jax.jit(initialize)(rngs, zeros)
        return fresh

    def finished(self, names: Names, value: Any) -> Any:
        """Return a value unchanged."""
        return value

    def also_reads(self, variables: Any, unused: Mapping[Names, Stored], rngs: Any) -> set[Names]:
        """Return the stored arrays that the call reads although its `init` does not make them, a cache for example."""
        # A bare value in the place of a collection, such as the step of a train state, is not part of a model.
        whole = {names: one.spec for names, one in unused.items() if one.is_whole and one.path}
        if not whole or not isinstance(self.model, nn.Module):
            return set()
        args, kwargs = jax.tree_util.tree_unflatten(self._structure, self._leaves)
        specs = _with_values(variables, whole)
        keys = _some_key(rngs)
        found = nn.touched(self.model, specs, *args, rngs=keys, mutable=True, **kwargs)
        return {(collection, *path) for collection, path in found.read} & set(whole)

    def _init(self, rngs: Any, arrays: Sequence[Any]) -> Any:
        """Initialise the variables, as a plain nested dict."""
        leaves = list(self._leaves)
        for index, array in zip(self._traced, arrays, strict=True):
            leaves[index] = array
        args, kwargs = jax.tree_util.tree_unflatten(self._structure, leaves)
        with nn.default_store(None):
            return self.model.init(rngs, *args, **kwargs)

    def _traced_leaves(self) -> list[Any]:
        return [self._leaves[index] for index in self._traced]


def _some_key(rngs: Any) -> Any:
    return {"params": jax.random.key(0)} if rngs is None else rngs


def _with_values(tree: Mapping[str, Any], values: Mapping[Names, Any]) -> dict[str, Any]:
    """Copy nested dicts and add values, except below a path that already is a value."""
    copied: dict[str, Any] = _copy_dicts(tree)
    for names, value in values.items():
        node: Any = copied
        for name in names[:-1]:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(names[-1], value)
    return copied


def _copy_dicts(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _copy_dicts(child) for name, child in tree.items()}
    return tree
