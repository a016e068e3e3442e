"""Classes of pytree nodes whose children are attributes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["register_node"]


def register_node(node_type: Any, children: tuple[str, ...], static: tuple[str, ...]) -> None:
    """Make the instances of a class nodes of pytrees.

    `jax.tree_util.register_dataclass` is faster, but the structures of two classes that it registers
    compare equal where their static attributes do (seen with jaxlib 0.10.2): `jax.jit` may then return the
    class that it met first, and `jax.lax.cond` takes branches that return different classes.

    Args:
      node_type: the class; it is called with all attributes as keywords.
      children: names of the attributes that are children.
      static: names of the attributes that are part of the tree's structure; their values are hashable.

    Example:
      >>> class Scaled:
      ...     def __init__(self, value, factor):
      ...         self.value, self.factor = value, factor
      >>> register_node(Scaled, ("value",), ("factor",))
      >>> jax.tree.map(lambda value: value + 1, Scaled(3, "m")).value
      4
    """
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in children)
    names = (*children, *static)
    values_of, structure_of = _getter(children), _getter(static)

    def flatten_with_keys(node: Any) -> tuple[Any, Any]:
        return tuple(zip(keys, values_of(node), strict=True)), structure_of(node)

    def flatten(node: Any) -> tuple[Any, Any]:
        return values_of(node), structure_of(node)

    def unflatten(structure: Any, values: Any) -> Any:
        return node_type(**dict(zip(names, (*values, *structure), strict=True)))

    jax.tree_util.register_pytree_with_keys(node_type, flatten_with_keys, unflatten, flatten)


def _getter(names: tuple[str, ...]) -> Callable[[object], tuple[Any, ...]]:
    """Return a function from an object to the tuple of those of its attributes."""
    if len(names) > 1:
        return operator.attrgetter(*names)  # in C, but it returns no tuple for one name
    return lambda node: tuple([getattr(node, name) for name in names])
