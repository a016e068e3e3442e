"""Whether a module's code may depend on where the module is: on its name, its path or its parent."""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from collections.abc import Iterator
from typing import Any

import jax

from linen_core.module.base import Module

__all__ = ["knows_its_place"]

_PLACE = frozenset({"name", "parent", "path"})
_LIBRARIES = frozenset({"builtins", "functools", "jax", "jaxlib", "linen_core", "numpy"})

# Memo table, no state: an entry goes with its class.
_by_class: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def knows_its_place(module: Module) -> bool:
    """Tell whether the code of a module, or code that it refers to, reads names, paths or parents.

    The code is searched, not run: what reads them only by a name put together at run time is not found.
    """
    kind = type(module)
    known = _by_class.get(kind)
    if known is None:
        known = _by_class[kind] = _reads_place(kind, set())
    return known or any(_field_knows(getattr(module, name)) for name in module._field_names)


def _field_knows(value: Any) -> bool:
    if isinstance(value, int | float | str | None):
        return False
    leaves = jax.tree.leaves(value)
    return any(
        knows_its_place(leaf) if isinstance(leaf, Module) else _reads_place(leaf, set())
        for leaf in leaves
    )


def _reads_place(value: Any, seen: set[int]) -> bool:
    """Search a function, or the methods of a class, and the functions and classes that its code refers to."""
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, type):
        bases = (kind for kind in value.__mro__ if not _is_of_library(kind))
        members = (item for kind in bases for item in vars(kind).values())
        return issubclass(value, Module) and any(_reads_place(item, seen) for item in members)
    if isinstance(value, functools.partial):
        return any(_reads_place(part, seen) for part in (value.func, *value.args))
    if isinstance(value, staticmethod | classmethod | types.MethodType):
        return _reads_place(value.__func__, seen)
    if isinstance(value, property):
        return _reads_place(value.fget, seen)
    value = inspect.unwrap(value) if callable(value) else getattr(value, "wrapped", None)
    if not isinstance(value, types.FunctionType) or _is_of_library(value):
        return isinstance(value, property) and _reads_place(value, seen)
    if value.__code__.co_filename == "<string>":  # written by `dataclass`
        return False
    names = set(_names(value.__code__))
    return bool(names & _PLACE) or any(_reads_place(item, seen) for item in _referred(value, names))


def _is_of_library(value: Any) -> bool:
    return (getattr(value, "__module__", None) or "builtins").partition(".")[0] in _LIBRARIES


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):
            yield constant


def _referred(fn: types.FunctionType, names: set[str]) -> Iterator[Any]:
    """Give what a function's code may mean by its names: globals, what is in modules, what surrounds it."""
    for cell in fn.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in names & fn.__globals__.keys():
        value = fn.__globals__[name]
        if not isinstance(value, types.ModuleType):
            yield value
        elif value.__name__.partition(".")[0] not in _LIBRARIES:
            yield from (getattr(value, other) for other in names if hasattr(value, other))
