"""State dicts and their bytes, in the format of `flax.serialization`, both ways.

A state dict is a nested dict with string keys that describes a pytree: sequences by their indices, named tuples and
dataclasses by their fields. Its bytes are MessagePack (https://msgpack.org), with arrays as the extension types that
`linen_store._msgpack` describes.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

import jax

from linen_core.struct import is_struct_type
from linen_store._msgpack import msgpack_restore as msgpack_restore
from linen_store._msgpack import pack_extension as _msgpack_ext_pack
from linen_store._msgpack import serialize
from linen_store._msgpack import unpack_extension as _msgpack_ext_unpack
from linen_store.errors import (
    AmbiguousKeysError,
    HandlerExistsError,
    StateKeysError,
    StateMismatchError,
    StateShapeError,
    StateTargetError,
)
from linen_store.frozen.frozen_dict import FrozenDict

__all__ = [
    "MAX_CHUNK_SIZE",
    "_msgpack_ext_pack",
    "_msgpack_ext_unpack",
    "current_path",
    "from_bytes",
    "from_state_dict",
    "is_serializable",
    "msgpack_restore",
    "msgpack_serialize",
    "register_serialization_state",
    "to_bytes",
    "to_state_dict",
]

T = TypeVar("T")

MAX_CHUNK_SIZE = 2**30
"""Arrays of more bytes than this are written in pieces of this size."""


class _Handlers(NamedTuple):
    to_state: Callable[[Any], Any]
    from_state: Callable[[Any, Any], Any]


_path: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("path", default=())
_registry: dict[type, _Handlers] = {}


def register_serialization_state(
    ty: type[T],
    ty_to_state_dict: Callable[[T], Any],
    ty_from_state_dict: Callable[[T, Any], T],
    override: bool = False,
) -> None:
    """Register the conversion of a type to a state dict and back.

    Args:
      ty: the type, without its subclasses.
      ty_to_state_dict: from a value to its state, a dict with string keys.
      ty_from_state_dict: from a value as a template and a state to a value with that state.
      override: replace an earlier registration.

    Raises:
      HandlerExistsError: the type is already registered.

    Example:
      >>> class Box:
      ...     def __init__(self, item):
      ...         self.item = item
      >>> register_serialization_state(Box, lambda box: {"item": box.item}, lambda box, state: Box(**state))
      >>> to_state_dict([Box(3)])
      {'0': {'item': 3}}
    """
    if ty in _registry and not override:
        raise HandlerExistsError(ty)
    _registry[ty] = _Handlers(ty_to_state_dict, ty_from_state_dict)


def is_serializable(target: Any) -> bool:
    """Return whether a type, or the type of a value, can be converted to a state dict.

    Example:
      >>> is_serializable({}), is_serializable(set)
      (True, False)
    """
    kind = target if isinstance(target, type) else type(target)
    return kind in _registry or _is_struct_type(kind)


def current_path() -> str:
    """Return the part of a state that is being restored: names joined by slashes.

    Example:
      >>> current_path()
      ''
    """
    return "/".join(_path.get())


def to_state_dict(target: Any) -> Any:
    """Describe a pytree by nested dicts with string keys.

    Values that are not of a registered type, a named tuple or a Linen dataclass are returned unchanged.

    Raises:
      AmbiguousKeysError: two keys of a dict are the same once they are strings.
      StateKeysError: a registered function returned a dict with keys that are not strings.

    Example:
      >>> to_state_dict({"layers": [1, 2]})
      {'layers': {'0': 1, '1': 2}}
    """
    handlers = _handlers_of(target)
    if handlers is None:
        return target
    state = handlers.to_state(target)
    if isinstance(state, dict) and not all(isinstance(key, str) for key in state):
        raise StateKeysError(type(target).__name__, list(state))
    return state


def from_state_dict(target: Any, state: Any, name: str = ".", *, strict: bool = False) -> Any:
    """Restore a pytree from its state dict.

    As in flax, names in a dict of the state that the target lacks are ignored, unless ``strict``.

    Args:
      target: a pytree of the same structure; only the shapes of its arrays are used.
      state: the result of `to_state_dict`, or the snapshot of a store.
      name: the name of the state in errors.
      strict: raise for names that the target lacks.

    Returns:
      A copy of ``target`` with the values of ``state``. The state itself if ``target`` is None or not of a
      registered type.

    Raises:
      StateTargetError: the target, or a part of it, is a class instead of a value.
      StateMismatchError: the state has other names or another length than the target.
      StateShapeError: an array has another shape than the target's.

    Example:
      >>> from_state_dict({"layers": [0, 0]}, {"layers": {"0": 1, "1": 2}})
      {'layers': [1, 2]}
    """
    with _entered(name):
        if strict:
            _check_all_used(to_state_dict(target), state)
        if isinstance(target, type):
            raise StateTargetError(current_path(), target.__name__)
        handlers = _handlers_of(target)
        if handlers is None:
            _check_shape(target, state)
            return state
        return handlers.from_state(target, _as_names(target, state))


def msgpack_serialize(pytree: Any, in_place: bool = False) -> bytes:
    """Serialise nested dicts and lists of arrays, numbers, strings and bytes.

    Args:
      pytree: the tree.
      in_place: write dicts in their own order, not in the order of sorted keys. (In flax, this also allows changing
        the tree. Here the tree is never changed.)

    Raises:
      UnsupportedStateError: a value has another type.

    Example:
      >>> msgpack_restore(msgpack_serialize({"w": 1, "a": [2]}))
      {'a': [2], 'w': 1}
    """
    ordered = pytree if in_place else jax.tree_util.tree_map(lambda leaf: leaf, pytree)
    return serialize(ordered, MAX_CHUNK_SIZE)


def to_bytes(target: Any) -> bytes:
    r"""Serialise a pytree, as `flax.serialization.to_bytes` does.

    Example:
      >>> to_bytes({"a": 1})
      b'\x81\xa1a\x01'
    """
    return msgpack_serialize(to_state_dict(target), in_place=True)


def from_bytes(target: Any, encoded_bytes: bytes, *, strict: bool = False) -> Any:
    """Restore a pytree from the bytes of `to_bytes`.

    As in flax, names in a dict of the bytes that the target lacks are ignored, unless ``strict``.

    Args:
      target: a pytree of the same structure, or None for the state dict itself.
      encoded_bytes: the bytes.
      strict: raise for names that the target lacks.

    Raises:
      StateTargetError: the target, or a part of it, is a class instead of a value.
      BadMsgpackError: the bytes are damaged or of another format.
      StateMismatchError: the state has other names or another length than the target.
      StateShapeError: an array has another shape than the target's.

    Example:
      >>> from_bytes([0, 0], to_bytes([1, 2]))
      [1, 2]
    """
    return from_state_dict(target, msgpack_restore(encoded_bytes), strict=strict)


@contextlib.contextmanager
def _entered(name: str) -> Iterator[None]:
    token = _path.set((*_path.get(), name))
    try:
        yield
    finally:
        _path.reset(token)


def _handlers_of(target: Any) -> _Handlers | None:
    if isinstance(target, tuple) and hasattr(target, "_fields"):
        return _NAMED_TUPLE
    if type(target) in _registry:
        return _registry[type(target)]
    if _is_struct_type(type(target)):
        return _STRUCT
    return _FROZEN_OF_FLAX if type(target).__module__ == "flax.core.frozen_dict" else None


def _is_struct_type(kind: type) -> bool:
    # Dataclasses of flax have this mark: their train states can be restored too.
    return is_struct_type(kind) or "_flax_dataclass" in vars(kind)


def _as_names(target: Any, state: Any) -> Any:
    """Convert a container in a state to a dict of names: a store returns sequences and boxes unchanged."""
    if _is_struct_type(type(target)):
        return _struct_fields(state) if _is_struct_type(type(state)) else state
    is_named = hasattr(target, "_fields")
    if is_named and not target and state is None:
        return {}  # Orbax stores the empty state of a part of an optimiser as None
    if not isinstance(target, list | tuple) or not isinstance(state, list | tuple):
        return state
    if is_named and len(state) == len(target):
        fields_of = state if hasattr(state, "_fields") else target
        return dict(zip(fields_of._fields, state, strict=True))
    return {str(index): value for index, value in enumerate(state)}


def _check_all_used(expected: Any, found: Any) -> None:
    """Raise if a state has names that its target lacks."""
    if not isinstance(expected, Mapping) or not isinstance(found, Mapping):
        return
    for name, child in found.items():
        if str(name) not in expected:
            raise StateMismatchError(
                current_path(), "dict", sorted(expected), sorted(map(str, found))
            )
        with _entered(str(name)):
            _check_all_used(expected[str(name)], child)


def _check_shape(target: Any, state: Any) -> None:
    expected, found = getattr(target, "shape", None), getattr(state, "shape", None)
    if expected is not None and found is not None and tuple(expected) != tuple(found):
        raise StateShapeError(current_path(), tuple(expected), tuple(found))


def _check_same_names(
    kind: str, expected: set[str], found: Any, *, allow_more: bool = False
) -> None:
    if not isinstance(found, Mapping):
        raise StateMismatchError(current_path(), kind, sorted(expected), type(found).__name__)
    names = set(map(str, found))
    if expected - names or (names - expected and not allow_more):
        raise StateMismatchError(current_path(), kind, sorted(expected), sorted(names))


def _dict_to_state(target: Mapping[Any, Any]) -> dict[str, Any]:
    if len({str(key) for key in target}) != len(target):
        raise AmbiguousKeysError(list(target))
    return {str(key): to_state_dict(value) for key, value in target.items()}


def _dict_from_state(target: Mapping[Any, Any], state: Mapping[str, Any]) -> dict[Any, Any]:
    _check_same_names("dict", set(map(str, target)), state, allow_more=True)
    return {key: from_state_dict(value, state[str(key)], str(key)) for key, value in target.items()}


def _sequence_to_state(target: list[Any] | tuple[Any, ...]) -> dict[str, Any]:
    return {str(index): to_state_dict(value) for index, value in enumerate(target)}


def _sequence_from_state(target: Any, state: Mapping[str, Any]) -> list[Any]:
    _check_same_names("sequence", set(map(str, range(len(target)))), state)
    return [
        from_state_dict(value, state[str(index)], str(index)) for index, value in enumerate(target)
    ]


def _named_tuple_to_state(target: Any) -> dict[str, Any]:
    return {name: to_state_dict(getattr(target, name)) for name in target._fields}


def _named_tuple_from_state(target: Any, state: Mapping[str, Any]) -> Any:
    if isinstance(state, Mapping) and set(state) == {"name", "fields", "values"}:
        # Early versions of flax wrote the fields and the values of named tuples separately.
        labels, values = state["fields"], state["values"]
        state = {labels[str(i)]: values[str(i)] for i in range(len(labels))}
    _check_same_names("named tuple", set(target._fields), state)
    return type(target)(
        **{name: from_state_dict(getattr(target, name), state[name], name) for name in state}
    )


def _struct_names(target: Any) -> list[str]:
    return [info.name for info in fields(target) if info.metadata.get("pytree_node", True)]


def _struct_fields(target: Any) -> dict[str, Any]:
    return {name: getattr(target, name) for name in _struct_names(target)}


def _struct_to_state(target: Any) -> dict[str, Any]:
    return {name: to_state_dict(value) for name, value in _struct_fields(target).items()}


def _struct_from_state(target: Any, state: Mapping[str, Any]) -> Any:
    names = _struct_names(target)
    _check_same_names(type(target).__name__, set(names), state)
    restored = {name: from_state_dict(getattr(target, name), state[name], name) for name in names}
    return target.replace(**restored)


def _partial_to_state(target: Any) -> dict[str, Any]:
    return {"args": to_state_dict(target.args), "keywords": to_state_dict(target.keywords)}


def _partial_from_state(target: Any, state: Mapping[str, Any]) -> Any:
    _check_same_names("Partial", {"args", "keywords"}, state)
    args = from_state_dict(target.args, state["args"], "args")
    keywords = from_state_dict(target.keywords, state["keywords"], "keywords")
    return jax.tree_util.Partial(target.func, *args, **keywords)


_NAMED_TUPLE = _Handlers(_named_tuple_to_state, _named_tuple_from_state)
_STRUCT = _Handlers(_struct_to_state, _struct_from_state)
_FROZEN_OF_FLAX = _Handlers(
    _dict_to_state, lambda target, state: type(target)(_dict_from_state(target, state))
)

register_serialization_state(dict, _dict_to_state, _dict_from_state)
register_serialization_state(
    FrozenDict, _dict_to_state, lambda target, state: FrozenDict(_dict_from_state(target, state))
)
register_serialization_state(list, _sequence_to_state, _sequence_from_state)
register_serialization_state(
    tuple, _sequence_to_state, lambda target, state: tuple(_sequence_from_state(target, state))
)
register_serialization_state(jax.tree_util.Partial, _partial_to_state, _partial_from_state)
