"""Dataclasses that are pytrees."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, Self, TypeVar, dataclass_transform, overload

import jax

from linen_core.errors import StructFieldError

__all__ = ["PyTreeNode", "dataclass", "field", "is_struct", "is_struct_type"]

_T = TypeVar("_T")

STRUCT_MARK = "_linen_struct"


def field(
    pytree_node: bool = True, *, metadata: dict[str, Any] | None = None, **kwargs: Any
) -> Any:
    """Describe a field of a `dataclass`.

    Args:
      pytree_node: whether the value is a child of the pytree. If false it is part of the tree's structure:
        it must be hashable, and `jax.jit` compiles again for another value.
      metadata: further metadata of the field.
      **kwargs: passed to `dataclasses.field`.

    Returns:
      The result of `dataclasses.field`.

    Example:
      >>> @dataclass
      ... class Model:
      ...     params: dict
      ...     apply_fn: object = field(pytree_node=False, default=None)
      >>> jax.tree.leaves(Model({"w": 1}))
      [1]
    """
    return dataclasses.field(metadata={**(metadata or {}), "pytree_node": pytree_node}, **kwargs)


@overload
def dataclass(clz: type[_T], **kwargs: Any) -> type[_T]: ...


@overload
def dataclass(**kwargs: Any) -> Callable[[type[_T]], type[_T]]: ...


@dataclass_transform(field_specifiers=(field,), frozen_default=True)
def dataclass(
    clz: type[_T] | None = None, **kwargs: Any
) -> type[_T] | Callable[[type[_T]], type[_T]]:
    """Turn a class into a frozen dataclass that is a pytree and has a method `replace`.

    Args:
      clz: the class.
      **kwargs: passed to `dataclasses.dataclass`; ``frozen`` is true by default.

    Returns:
      The class. It is a pytree whose leaves lie at `jax.tree_util.GetAttrKey` of their field's name, and
      whose structure never equals that of another class.

    Raises:
      StructFieldError: a field has ``init=False``.

    Example:
      >>> @dataclass
      ... class Point:
      ...     x: float
      ...     y: float
      >>> jax.tree.map(lambda v: 2 * v, Point(1.0, 2.0)).replace(y=0.0)
      Point(x=2.0, y=0.0)
    """
    if clz is None:
        return functools.partial(dataclass, **kwargs)
    if STRUCT_MARK in clz.__dict__:
        return clz
    kwargs.setdefault("frozen", True)
    node_type: Any = dataclasses.dataclass(**kwargs)(clz)
    node_type.replace = _replace
    children: list[str] = []
    static: list[str] = []
    for info in dataclasses.fields(node_type):
        (children if info.metadata.get("pytree_node", True) else static).append(info.name)
        if not info.init:
            raise StructFieldError(node_type.__qualname__, info.name)
    _register(node_type, tuple(children), tuple(static))
    setattr(node_type, STRUCT_MARK, tuple(children))
    node_type._flax_dataclass = True  # programs written for flax check this attribute
    return node_type  # type: ignore[no-any-return]


def _register(node_type: type, children: tuple[str, ...], static: tuple[str, ...]) -> None:
    """Make the instances of a class nodes of pytrees, with some attributes as children and others as structure.

    `jax.tree_util.register_dataclass` is faster, but the structures of two classes that it registers
    compare equal where their static attributes do (seen with jaxlib 0.10.2): `jax.jit` may then return the
    class that it met first, and `jax.lax.cond` takes branches that return different classes.
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


def _replace(self: _T, **updates: object) -> _T:
    """Copy the dataclass with some fields changed."""
    return dataclasses.replace(self, **updates)  # type: ignore[type-var]


def is_struct(value: object) -> bool:
    """Return whether a value is an instance of a class that `dataclass` was applied to.

    Example:
      >>> is_struct(dataclass(type("Empty", (), {}))()), is_struct(3)
      (True, False)
    """
    return is_struct_type(type(value))


def is_struct_type(kind: type) -> bool:
    """Return whether `dataclass` was applied to a class itself, not only to a base class.

    Example:
      >>> is_struct_type(PyTreeNode), is_struct_type(type("Node", (PyTreeNode,), {}))
      (False, True)
    """
    return STRUCT_MARK in kind.__dict__


@dataclass_transform(field_specifiers=(field,), frozen_default=True)
class PyTreeNode:
    """Base class whose subclasses are frozen dataclasses and pytrees, as with `dataclass`.

    Example:
      >>> class State(PyTreeNode):
      ...     count: int
      ...     name: str = field(pytree_node=False, default="run")
      >>> State(3).replace(count=4)
      State(count=4, name='run')
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()
        dataclass(cls, **kwargs)

    def __init__(self, *args: object, **kwargs: Any) -> None:
        raise NotImplementedError  # each subclass gets its own from `dataclass`

    def replace(self, **overrides: object) -> Self:
        """Copy the node with some fields changed.

        Example:
          >>> class State(PyTreeNode):
          ...     count: int
          >>> State(3).replace(count=4)
          State(count=4)
        """
        raise NotImplementedError
