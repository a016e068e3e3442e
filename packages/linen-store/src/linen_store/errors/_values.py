"""Failures of FrozenDict and of serialization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linen_core.errors import LinenError

__all__ = [
    "AmbiguousKeysError",
    "BadMsgpackError",
    "FrozenDictSetError",
    "HandlerExistsError",
    "NotADictError",
    "StateKeysError",
    "StateMismatchError",
    "StateShapeError",
    "StateTargetError",
    "UnsupportedStateError",
]


class FrozenDictSetError(LinenError, ValueError):
    """An item of a FrozenDict was assigned.

    Attributes:
      key: the key that was assigned.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        super().__init__(
            f"Cannot set {key!r}: a FrozenDict is immutable. Make a changed copy with "
            f"`copy({{{key!r}: ...}})`, or a plain dict with `unfreeze()`."
        )


class NotADictError(LinenError, TypeError):
    """The argument of `copy` or `pop` is neither a FrozenDict nor a dict.

    Attributes:
      function: the function that was called.
      found: the argument.
    """

    def __init__(self, function: str, found: Any) -> None:
        self.function = function
        self.found = found
        super().__init__(
            f"Cannot {function} from a {type(found).__name__}: expected a FrozenDict or a dict."
        )


class HandlerExistsError(LinenError, ValueError):
    """A type was registered for serialisation twice.

    Attributes:
      type: the type.
    """

    def __init__(self, ty: type) -> None:
        self.type = ty
        super().__init__(
            f"Cannot register {ty.__name__} for serialization: it is already registered. Pass "
            "override=True to replace the registration."
        )


class AmbiguousKeysError(LinenError, ValueError):
    """Two keys of a dict become the same string, and the keys of a state dict are strings.

    Attributes:
      keys: all the keys of the dict.
    """

    def __init__(self, keys: Sequence[Any]) -> None:
        self.keys = list(keys)
        super().__init__(
            f"Cannot make a state dict of a dict with the keys {self.keys}: some are the same as "
            "strings. Rename one of them."
        )


class StateKeysError(LinenError, TypeError, AssertionError):
    """A function that was registered for a type returned a state with keys that are not strings.

    Attributes:
      type: the name of the type.
      keys: all the keys of the state.
    """

    def __init__(self, ty: str, keys: Sequence[Any]) -> None:
        self.type = ty
        self.keys = list(keys)
        super().__init__(
            f"Cannot make a state dict of a {self.type}: the function registered for it returned the keys "
            f"{self.keys}, expected strings. Change the function that was passed to "
            "`register_serialization_state`."
        )


class StateMismatchError(LinenError, ValueError, KeyError, TypeError):
    """A state dict has other names than its target, or another value in the place of a dict.

    It has the class of every error that flax raises in these cases.

    Attributes:
      path: where in the state.
      kind: the kind of container that is restored.
      expected: its names.
      found: the names in the state, or the type of the value in the place of a dict.
    """

    def __init__(self, path: str, kind: str, expected: Sequence[str], found: Any) -> None:
        self.path = path
        self.kind = kind
        self.expected = list(expected)
        self.found = found
        super().__init__(
            f"Cannot restore the {kind} at {path!r}: expected the names {self.expected}, found "
            f"{found}. Restore into a target of the structure that was saved."
        )


class StateShapeError(LinenError, ValueError):
    """An array of a state dict has another shape than its target.

    Attributes:
      path: where in the state.
      expected: the shape of the target.
      found: the shape in the state.
    """

    def __init__(self, path: str, expected: tuple[int, ...], found: tuple[int, ...]) -> None:
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"Cannot restore the array at {path!r}: expected the shape {expected}, found {found}. "
            "Restore into a target of the shapes that were saved, or into None for the bare state."
        )


class StateTargetError(LinenError, TypeError):
    """The target of a state, or a part of it, is a class instead of a value.

    Attributes:
      path: where in the state.
      found: the name of the class.
    """

    def __init__(self, path: str, found: str) -> None:
        self.path = path
        self.found = found
        super().__init__(
            f"Cannot restore into the class {found} at {path!r}: expected a value with the structure "
            f"that was saved. Pass an instance of {found}, or None for the bare state dict."
        )


class UnsupportedStateError(LinenError, ValueError, TypeError, OverflowError):
    """A value of a state dict cannot be written as MessagePack, or could not be read again.

    It has the class of every error that flax raises in these cases.

    Attributes:
      found: a description of the value.
      hint: the advice.
    """

    def __init__(
        self,
        found: str,
        hint: str = "Convert it, or register its type with `register_serialization_state`.",
    ) -> None:
        self.found = found
        self.hint = hint
        super().__init__(
            f"Cannot serialize {found}: expected arrays, numbers, strings, bytes, None, dicts and "
            f"lists. {hint}"
        )


class BadMsgpackError(LinenError, ValueError):
    """Bytes are not a MessagePack tree of arrays, or a damaged one.

    Attributes:
      reason: a description of the damage.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"Cannot restore a tree from bytes: they are damaged or of another format ({reason}). "
            "Expected the output of `to_bytes`; read them from another copy."
        )
