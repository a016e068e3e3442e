"""Fingerprints: the keys of every cache in Linen.

A fingerprint is a hashable value. Two values with equal fingerprints behave alike, provided that nobody changes an
object in place. An object of an unknown type is equal only to itself, whatever its ``__eq__`` returns: a wrong "equal"
would reuse a trace that computes other numbers, a wrong "different" only costs time. A value that can change or may
contain a `jax.Array` has no fingerprint, and results that depend on it are computed again. Fingerprints do not keep
functions and objects of users alive.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import weakref
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from linen_core.typing import Path

__all__ = ["NoFingerprintError", "fingerprint", "is_of_library"]

_LIBRARIES = frozenset({"jax", "jaxlib", "linen_core", "ml_dtypes", "numpy"})
_ATOMS = (str, bytes, type(None), type(Ellipsis))
_NUMBERS = (bool, int, float, complex)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class NoFingerprintError(Exception):
    """A value has a part that cannot be fingerprinted.

    Attributes:
      path: the names that lead to the part.
      reason: why it has no fingerprint.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{'/'.join(path)}: {reason}")


def fingerprint(value: object) -> Hashable:
    """Return a hashable value that is equal only for values that behave alike.

    - Numbers, strings, dtypes, types, enum members and numpy arrays are compared by type and content.
    - Containers, dataclasses, `functools.partial` and bound methods are compared by their parts.
    - Modules are compared by class, by fields except ``name`` and ``parent``, and by the submodules, variables and
      RNG counters that they have created so far.
    - Hashable values of JAX and numpy are compared by ``==``, everything else by identity.

    Args:
      value: any value.

    Raises:
      NoFingerprintError: the value has a part that cannot be hashed, such as a `jax.Array`.

    Example:
      >>> import functools, numpy as np, linen_core as nn
      >>> fingerprint(nn.Dense(3, name="a")) == fingerprint(nn.Dense(3, name="b"))
      True
      >>> fingerprint({"rate": 0.0}) == fingerprint({"rate": -0.0}) or fingerprint(1) == fingerprint(True)
      False
    """
    return _Fingerprinter().of(value, ())


def is_of_library(value: object) -> bool:
    """Return whether the module that defines a function or class is one of JAX, numpy or Linen.

    Example:
      >>> import jax
      >>> is_of_library(jax.nn.relu), is_of_library(len)
      (True, False)
    """
    module = getattr(value, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES


class _Identity:
    """Compares by identity: equal to another instance that refers to the same living object.

    A plain ``id`` would not do: another object can get the same id after the first one is freed.
    """

    __slots__ = ("_hash", "_reference")

    def __init__(self, value: object) -> None:
        self._hash = id(value)
        try:
            self._reference: Any = weakref.ref(value)
        except TypeError:  # not weakly referenceable: keep it alive, or its id could be reused
            self._reference = lambda: value

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        value = self._reference()
        return value is not None and isinstance(other, _Identity) and value is other._reference()


def _of_type(kind: type) -> Hashable:
    """Return a builtin type as it is, any other by weak reference: a cache must not keep a user's class alive."""
    return kind if kind.__module__ == "builtins" else _Identity(kind)


class _Fingerprinter:
    """One run of `fingerprint`.

    Modules are numbered in the order of their first visit. A second visit yields only the number. Without it a module
    that is shared by two fields would look like two equal modules, and a module that refers to itself would never end.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def of(self, value: object, path: Path) -> Hashable:
        kind = type(value)
        if kind in _ATOMS:
            return value
        if isinstance(value, enum.Enum):
            return _of_type(kind), value.name
        if isinstance(value, type):
            return _of_type(value)
        if kind in _NUMBERS:
            return kind, repr(value)  # 1 and True are equal, and so are 0.0 and -0.0
        if hasattr(kind, "__fingerprint_parts__"):
            return self._of_module(value, path)
        parts = _parts(value)
        if parts is not None:
            return _of_type(kind), *[self.of(part, (*path, name)) for name, part in parts]
        if isinstance(value, set | frozenset):
            return _of_type(kind), frozenset(self.of(item, path) for item in value)
        if isinstance(value, np.ndarray | np.generic):
            return self._of_array(value, path)
        return self._of_object(value, path)

    def _of_module(self, value: Any, path: Path) -> Hashable:
        kind = _of_type(type(value))
        if id(value) in self._numbers:
            return kind, self._numbers[id(value)]
        self._numbers[id(value)] = len(self._numbers)
        parts = value.__fingerprint_parts__()
        return kind, *[(name, self.of(part, (*path, name))) for name, part in parts]

    def _of_array(self, value: np.ndarray[Any, Any] | np.generic, path: Path) -> Hashable:
        if value.dtype.hasobject or isinstance(value, np.ma.MaskedArray):
            raise NoFingerprintError(path, f"unhashable type: {type(value).__name__!r}")
        return _of_type(type(value)), value.dtype, value.shape, value.tobytes()

    def _of_object(self, value: object, path: Path) -> Hashable:
        if isinstance(value, jax.Array):
            raise NoFingerprintError(path, f"unhashable type: {type(value).__name__!r}")
        if isinstance(value, types.FunctionType) and is_of_library(value) and value.__closure__:
            # jax.nn.initializers.normal(0.02) returns a new closure on each call: compare code, cells and defaults.
            contents = [cell.cell_contents for cell in value.__closure__]
            defaults = (value.__defaults__, value.__kwdefaults__)
            return types.FunctionType, value.__code__, self.of([*contents, *defaults], path)
        if isinstance(value, _FUNCTIONS) or not is_of_library(type(value)):
            if type(value).__hash__ is None:
                raise NoFingerprintError(path, f"unhashable type: {type(value).__name__!r}")
            return _Identity(value)
        try:
            hash(value)
        except TypeError as error:
            raise NoFingerprintError(path, str(error)) from None
        return value


def _parts(value: object) -> Iterable[tuple[str, Any]] | None:
    """Return the named parts of a container-like value, or None for a value that its parts do not determine."""
    if isinstance(value, tuple | list):
        return [(str(number), item) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        return [(str(pair[0]), part) for pair in value.items() for part in pair]
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, types.MethodType):
        return [("function", value.__func__), ("self", value.__self__)]
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        return [(name, getattr(value, name, None)) for name in names]
    return None
