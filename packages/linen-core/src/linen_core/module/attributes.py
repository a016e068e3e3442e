"""The immutable containers that the attributes of modules become."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import jax

__all__ = ["ImmutableDict", "freeze_attribute"]


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
