"""FrozenDict, an immutable nested dict, and functions for it and for plain dicts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Hashable, Iterable, Iterator, KeysView, Mapping, ValuesView
from types import MappingProxyType
from typing import Any, TypeVar, cast

import jax

from linen_store.errors import FrozenDictSetError, NotADictError

__all__ = ["FrozenDict", "copy", "freeze", "pop", "pretty_repr", "unfreeze"]

K = TypeVar("K")
V = TypeVar("V")

_INDENT = 4


class _FrozenKeys(KeysView[K]):
    """The keys of a FrozenDict, shown as a list."""

    def __repr__(self) -> str:
        return f"frozen_dict_keys({list(self)})"


class _FrozenValues(ValuesView[V]):
    """The values of a FrozenDict, shown as a list."""

    def __repr__(self) -> str:
        return f"frozen_dict_values({list(self)})"


class FrozenDict(Mapping[K, V]):
    """A nested dict that is immutable all the way down.

    The constructor takes the arguments of `dict`. Nested dicts are copied, and are returned as FrozenDicts; other
    values are kept. A FrozenDict is equal to any mapping with equal items, hashable if its values are, and a pytree
    with its children in the order of sorted keys.

    Example:
      >>> variables = FrozenDict({"params": {"bias": 0}})
      >>> variables["params"]
      FrozenDict({
          bias: 0,
      })
      >>> variables == {"params": {"bias": 0}}
      True
    """

    __slots__ = ("_dict", "_hash")

    _dict: dict[K, Any]
    _hash: int | None

    def __init__(
        self,
        *args: Mapping[K, V] | Iterable[tuple[K, V]],
        __unsafe_skip_copy__: bool = False,
        **kwargs: Any,
    ) -> None:
        items: dict[Any, Any] = dict(*args, **kwargs)
        self._dict = items if __unsafe_skip_copy__ else _own(items)
        self._hash = None

    def __getitem__(self, key: K) -> V:
        value: V = self._dict[key]
        return cast("V", _wrap(value)) if isinstance(value, dict) else value

    def __setitem__(self, key: K, value: V) -> None:
        """Raise an error.

        Raises:
          FrozenDictSetError: always.
        """
        raise FrozenDictSetError(key)

    def __contains__(self, key: object) -> bool:
        return key in self._dict

    def __iter__(self) -> Iterator[K]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = functools.reduce(operator.xor, map(hash, self.items()), 0)
        return self._hash

    def __repr__(self) -> str:
        return self.pretty_repr()

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (self.unfreeze(),)

    def keys(self) -> KeysView[K]:
        """View the keys."""
        return _FrozenKeys(self)

    def values(self) -> ValuesView[V]:
        """View the values, dicts as FrozenDicts."""
        return _FrozenValues(self)

    def items(self) -> Iterator[tuple[K, V]]:  # type: ignore[override]
        """Iterate once over the pairs of key and value, dicts as FrozenDicts."""
        return ((key, self[key]) for key in self._dict)

    def copy(self, add_or_replace: Mapping[K, V] = MappingProxyType({})) -> FrozenDict[K, V]:
        """Return a FrozenDict with some entries added or replaced.

        Example:
          >>> FrozenDict({"a": 1}).copy({"b": 2}) == {"a": 1, "b": 2}
          True
        """
        return type(self)({**self, **unfreeze(add_or_replace)})

    def pop(self, key: K) -> tuple[FrozenDict[K, V], V]:
        """Return a FrozenDict without one entry, and the value of that entry.

        Raises:
          KeyError: the key does not exist.

        Example:
          >>> rest, params = FrozenDict({"params": 1, "cache": 2}).pop("params")
          >>> rest, params
          (FrozenDict({
              cache: 2,
          }), 1)
        """
        value = self[key]
        rest = dict(self._dict)
        del rest[key]
        return type(self)(rest), value

    def unfreeze(self) -> dict[K, V]:
        """Copy into a nested plain dict that shares no container with this FrozenDict."""
        return cast("dict[K, V]", unfreeze(self))

    def pretty_repr(self, num_spaces: int = _INDENT) -> str:
        """Render with one entry a line, each level indented by ``num_spaces``."""
        return f"FrozenDict({_render(self._dict, num_spaces)})"

    def tree_flatten_with_keys(self) -> tuple[tuple[Any, ...], Hashable]:
        """Return the children with their key paths, in the order of sorted keys, and the keys."""
        keys = tuple(sorted(self._dict))  # type: ignore[type-var]
        return tuple((jax.tree_util.DictKey(key), self._dict[key]) for key in keys), keys

    @classmethod
    def tree_unflatten(cls, keys: Iterable[K], values: Iterable[V]) -> FrozenDict[K, V]:
        """Rebuild a FrozenDict from its children."""
        # JAX has just made the children, and nothing else refers to them: a copy is not needed.
        return cls(zip(keys, values, strict=True), __unsafe_skip_copy__=True)


jax.tree_util.register_pytree_with_keys_class(FrozenDict)


def _wrap(owned: dict[K, Any]) -> FrozenDict[K, Any]:
    """Wrap a dict that already belongs to a FrozenDict, without a copy."""
    frozen: FrozenDict[K, Any] = FrozenDict.__new__(FrozenDict)
    frozen._dict = owned
    frozen._hash = None
    return frozen


def _own(value: Any) -> Any:
    """Copy the dicts of a nested value: the caller could change the originals."""
    if isinstance(value, FrozenDict):
        return value._dict
    if isinstance(value, dict):
        return {key: _own(child) for key, child in value.items()}
    return value


def _render(value: Any, num_spaces: int) -> str:
    if not isinstance(value, dict):
        return repr(value)
    if not value:
        return "{}"
    margin = "\n" + " " * num_spaces
    entries = [f"{key}: {_render(child, num_spaces)}," for key, child in value.items()]
    return "{" + "".join(margin + entry.replace("\n", margin) for entry in entries) + "\n}"


def _identity(value: Any) -> Any:
    return value


def freeze(xs: Mapping[Any, Any]) -> FrozenDict[Any, Any]:
    """Convert a nested dict to a FrozenDict.

    Example:
      >>> freeze({"params": {}})
      FrozenDict({
          params: {},
      })
    """
    return FrozenDict(xs)


def unfreeze(x: Any) -> Any:
    """Copy a FrozenDict, or a dict with FrozenDicts in it, into a nested plain dict.

    The result shares no dict with ``x``. Other values are returned unchanged. The keys of a FrozenDict come out sorted,
    those of a plain dict in their own order.

    Example:
      >>> unfreeze(FrozenDict({"params": {"bias": 0}}))
      {'params': {'bias': 0}}
    """
    if isinstance(x, FrozenDict):
        return jax.tree_util.tree_map(_identity, x._dict)
    if isinstance(x, dict):
        return {key: unfreeze(value) for key, value in x.items()}
    return x


def copy(
    x: FrozenDict[Any, Any] | dict[Any, Any],
    add_or_replace: Mapping[Any, Any] = MappingProxyType({}),
) -> FrozenDict[Any, Any] | dict[Any, Any]:
    """Copy a FrozenDict or a dict, with some entries added or replaced.

    Raises:
      NotADictError: ``x`` is neither.

    Example:
      >>> copy({"a": 1}, {"b": 2})
      {'a': 1, 'b': 2}
    """
    if isinstance(x, FrozenDict):
        return x.copy(add_or_replace)
    if isinstance(x, dict):
        copied: dict[Any, Any] = jax.tree_util.tree_map(_identity, x)
        copied.update(add_or_replace)
        return copied
    raise NotADictError("copy", x)


def pop(
    x: FrozenDict[Any, Any] | dict[Any, Any], key: Any
) -> tuple[FrozenDict[Any, Any] | dict[Any, Any], Any]:
    """Copy a FrozenDict or a dict without one entry, and also return the value of that entry.

    Raises:
      KeyError: the key does not exist.
      NotADictError: ``x`` is neither.

    Example:
      >>> pop({"a": 1, "b": 2}, "a")
      ({'b': 2}, 1)
    """
    if isinstance(x, FrozenDict):
        return x.pop(key)
    if isinstance(x, dict):
        copied: dict[Any, Any] = jax.tree_util.tree_map(_identity, x)
        return copied, copied.pop(key)
    raise NotADictError("pop", x)


def pretty_repr(x: Any, num_spaces: int = _INDENT) -> str:
    """Render a FrozenDict or a nested dict with one entry a line, and any other value with `repr`.

    A FrozenDict is always indented by four spaces a level; its method `FrozenDict.pretty_repr` takes another width.

    Example:
      >>> print(pretty_repr({"params": {"bias": 0}}, num_spaces=2))
      {
        params: {
          bias: 0,
        },
      }
    """
    return x.pretty_repr() if isinstance(x, FrozenDict) else _render(x, num_spaces)
