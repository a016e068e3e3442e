"""A reference to one variable of a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import jax

from linen_core import meta

if TYPE_CHECKING:
    from linen_core.scope.scope import Scope

__all__ = ["Variable"]

_T = TypeVar("_T")


class Variable(Generic[_T]):
    """A mutable reference to a variable: read and write `value`.

    Attributes:
      scope: the scope that holds the variable.
      collection: name of the collection.
      name: name of the variable in the scope.
      unbox: whether `value` is what lies in the boxes (`AxisMetadata`) of the variable, if it has any.

    Example:
      >>> import linen_core as nn
      >>> scope = nn.Scope({"state": {"n": 1}}, mutable=["state"])
      >>> n = Variable(scope, "state", "n")
      >>> n.value += 1
      >>> scope.get_variable("state", "n"), n.is_mutable()
      (2, True)
    """

    __slots__ = ("__weakref__", "collection", "name", "scope", "unbox")

    def __init__(self, scope: Scope, collection: str, name: str, unbox: bool = True) -> None:
        self.scope = scope
        self.collection = collection
        self.name = name
        self.unbox = unbox

    @property
    def value(self) -> _T:
        """The variable's value; writing raises `ModifyScopeVariableError` if the collection is immutable."""
        found = self.scope.get_variable(self.collection, self.name)
        return meta.unbox(found) if self.unbox else found  # type: ignore[no-any-return]

    @value.setter
    def value(self, value: _T) -> None:
        if self.unbox:
            value = self._boxed_like_current(value)
        self.scope.put_variable(self.collection, self.name, value)

    def _boxed_like_current(self, value: _T) -> _T:
        """Put the value into the boxes that the variable has now, if both have the same structure."""
        current = self.scope.get_variable(self.collection, self.name)
        nodes, structure = jax.tree.flatten(current, is_leaf=meta.is_axis_metadata)
        if not any(map(meta.is_axis_metadata, nodes)):
            return value
        same = structure == jax.tree.structure(value, is_leaf=meta.is_axis_metadata)  # type: ignore[operator]
        if not same:
            return value
        return meta.replace_boxed(current, value)  # type: ignore[no-any-return]

    def is_mutable(self) -> bool:
        """Tell whether the variable's collection can be written."""
        return self.scope.is_mutable_collection(self.collection)

    def __repr__(self) -> str:
        return f"Variable({self.collection!r}, {self.name!r} at {self.scope.path_text})"
