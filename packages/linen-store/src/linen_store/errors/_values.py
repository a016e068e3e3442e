"""Failures of FrozenDict and of serialization, which know no store."""

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
            f"Cannot set {key!r}: a FrozenDict is immutable. Make a changed one with "
            f"`copy({{{key!r}: ...}})`, or a plain dict with `unfreeze()`."
        )


class NotADictError(LinenError, TypeError):
    """`copy` or `pop` got something that is neither a FrozenDict nor a dict.

    Attributes:
      function: the function that was called.
      found: what it got.
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
            f"Cannot register {ty.__name__} for serialization: it is registered already. Pass "
            "override=True to replace what was registered."
        )


class AmbiguousKeysError(LinenError, ValueError):
    """Keys of a dict are the same once they are strings, as a state dict needs them.

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
    """A function that was registered for a type gave a state with keys that are no strings.

    Attributes:
      type: the name of the type.
      keys: all the keys of the state.
    """

    def __init__(self, ty: str, keys: Sequence[Any]) -> None:
        self.type = ty
        self.keys = list(keys)
        super().__init__(
            f"Cannot make a state dict of a {self.type}: what is registered for it gave the keys "
            f"{self.keys}, expected strings. Change the function that was passed to "
            "`register_serialization_state`."
        )


class StateMismatchError(LinenError, ValueError, KeyError, TypeError):
    """A state dict has other names than what it is restored into, or something else stands in place of one.

    It is of each of the classes that flax fails with, on purpose or by accident.

    Attributes:
      path: where in the state.
      kind: what kind of container is restored.
      expected: the names that it has.
      found: the names in the state, or the type of what is there instead.
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
    """An array of a state dict has another shape than what it is restored into.

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
    """A class was given where a value is needed, into whose structure a state is restored.

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
    """A value of a state dict cannot be written as MessagePack, or not so that it can be read again.

    It is of each of the classes that flax fails with.

    Attributes:
      found: what the value is.
      hint: what to do.
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
    """Bytes are no MessagePack tree of arrays, or a damaged one.

    Attributes:
      reason: what is wrong with them.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"Cannot restore a tree from bytes: they are damaged or of another format ({reason}). "
            "Expected what `to_bytes` writes; read it from another copy."
        )
