"""Attributes of modules: finds the modules inside them, and freezes them."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import jax

from linen_core.module.state import ModuleBase
from linen_core.struct import STRUCT_MARK, is_struct
from linen_core.typing import PyTree

__all__ = ["ImmutableDict", "freeze_attribute", "map_modules"]


@jax.tree_util.register_pytree_with_keys_class
class ImmutableDict(dict[Any, Any]):
    """An immutable dict. A dict that is an attribute of a bound module becomes one.

    It is a pytree like a dict, and hashable if its values are.

    Example:
      >>> ImmutableDict(a=1).copy({"b": 2})
      {'a': 1, 'b': 2}
    """

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        msg = "An attribute of a module is immutable. Make a changed copy with `dict(...)`."
        raise ValueError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def copy(self, add_or_replace: Mapping[Any, Any] = types.MappingProxyType({})) -> ImmutableDict:
        """Copy the dict with some entries added or replaced."""
        return ImmutableDict({**self, **add_or_replace})

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return ImmutableDict, (dict(self),)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        """Flatten by sorted keys, like a dict."""
        keys = tuple(sorted(self))
        return tuple((jax.tree_util.DictKey(key), self[key]) for key in keys), keys

    @classmethod
    def tree_unflatten(cls, keys: tuple[Any, ...], children: Iterable[Any]) -> ImmutableDict:
        """Rebuild the dict from its sorted keys and values."""
        return cls(zip(keys, children, strict=True))


def map_modules(fn: Callable[[str, Any], Any], value: object, suffix: str = "") -> Any:
    """Replace each module in an attribute by ``fn(suffix, module)``.

    Searches mappings, lists, tuples, named tuples and `struct` dataclasses. The suffix joins the keys and indices on
    the path to the module, each after "_". Modules are visited in the order of these keys as strings.

    Args:
      fn: called with the suffix and the module.
      value: the attribute.
      suffix: the start of every suffix.

    Returns:
      The attribute with containers of the same types. A mapping of another type becomes a dict if it contains a
      module.
    """
    if isinstance(value, ModuleBase):
        return fn(suffix, value)
    parts = _children(value)
    if parts is None:
        return value
    mapped = {}
    for key in sorted(parts, key=str):
        mapped[key] = map_modules(fn, parts[key], f"{suffix}_{key}")
    if all(mapped[key] is parts[key] for key in parts):
        return value
    return _rebuild(value, {key: mapped[key] for key in parts})


def _children(value: PyTree) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if is_struct(value):
        return {name: getattr(value, name) for name in getattr(type(value), STRUCT_MARK)}
    return None


def _rebuild(value: PyTree, parts: dict[Any, Any]) -> Any:
    if isinstance(value, Mapping):
        return parts
    if is_struct(value):
        return value.replace(**parts)
    if hasattr(value, "_fields"):
        return type(value)(**parts)
    return type(value)(parts.values())


def freeze_attribute(value: object) -> Any:
    """Convert the dicts and lists of an attribute, at any depth, to immutable types."""
    if isinstance(value, dict):
        return ImmutableDict({key: freeze_attribute(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(map(freeze_attribute, value))
    if isinstance(value, tuple) and not isinstance(value, jax.sharding.PartitionSpec):
        if hasattr(value, "_fields"):
            return type(value)(*map(freeze_attribute, value))
        return tuple(map(freeze_attribute, value))
    return value
