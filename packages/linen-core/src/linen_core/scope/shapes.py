"""The shapes an initializer makes, found once and remembered.

`param` compares every parameter with what its initializer would make. Evaluating the initializer abstractly
costs a hundred times more than the comparison, so the answer is remembered, but only for initializers that
provably give the same answer again: functions of JAX and Linen, and functions that use nothing but those and
immutable values. Any other (a callable with state, a closure over a list or an array) is evaluated each time.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

__all__ = ["OpaqueError", "expected_shapes", "fingerprint_initializer"]

Shapes: TypeAlias = tuple[tuple[int, ...], ...]

# Memo tables, no state: an entry can be dropped at any time. Keys hold functions, code and immutable values
# only, never an array or a tracer.
_by_identity: dict[Any, Shapes] = {}
_by_content: dict[Any, Shapes] = {}
_MAX_ENTRIES = 8192

_TRUSTED_PACKAGES = frozenset({"jax", "jaxlib", "linen_core", "ml_dtypes", "numpy"})
_ATOMS = frozenset({int, str, bytes, type(None), type(Ellipsis)})
_TYPED_ATOMS = frozenset({bool, float, complex})
_PURE_BUILTINS = frozenset(
    {
        "abs",
        "all",
        "any",
        "bool",
        "complex",
        "dict",
        "divmod",
        "enumerate",
        "float",
        "int",
        "isinstance",
        "len",
        "list",
        "map",
        "max",
        "min",
        "pow",
        "range",
        "reversed",
        "round",
        "set",
        "slice",
        "sorted",
        "str",
        "sum",
        "tuple",
        "zip",
    }
)


class OpaqueError(Exception):
    """A value may change, or hold one that may."""


def expected_shapes(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Shapes:
    """Return the shapes of the leaves of ``init_fn(key, *args, **kwargs)``, in flattening order."""
    if not kwargs:
        try:
            known = _by_identity.get((init_fn, args))
        except TypeError:  # unhashable
            known = None
        if known is not None:
            return known
    try:
        key = fingerprint_initializer(init_fn, args, kwargs)
    except (OpaqueError, RecursionError):  # functions may refer to each other in a circle
        return _evaluate(init_fn, args, kwargs)
    shapes = _by_content.get(key)
    if shapes is None:
        shapes = _evaluate(init_fn, args, kwargs)
        _remember(_by_content, key, shapes)
    if not kwargs and _is_fixed(init_fn):
        _remember(_by_identity, (init_fn, args), shapes)
    return shapes


def fingerprint_initializer(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return a hashable stand-in for an initializer and its arguments, equal only for those that make the same.

    Raises:
      OpaqueError: nothing can be promised for them.
    """
    return _fingerprint(init_fn), _fingerprint(args), _fingerprint(kwargs)


def _remember(table: dict[Any, Shapes], key: Any, shapes: Shapes) -> None:
    if len(table) >= _MAX_ENTRIES:
        table.clear()
    try:
        table[key] = shapes
    except TypeError:  # a key of immutable parts that is yet unhashable is not remembered
        return


def _evaluate(init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shapes:
    made = jax.eval_shape(lambda: init_fn(jax.random.key(0), *args, **kwargs))
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(made))


def _is_fixed(value: Any) -> bool:
    """Tell whether a value, taken by identity, can never behave otherwise than now.

    So are functions of JAX and Linen over fixed values, but not a user's function (a global it reads may be set)
    and not a list (even where `_fingerprint` knows both by what they hold at the moment).
    """
    kind = type(value)
    if kind in _ATOMS or kind in _TYPED_ATOMS or isinstance(value, type | np.dtype):
        return True
    if kind is tuple:
        return all(map(_is_fixed, value))
    if kind is types.FunctionType:
        cells = tuple(map(_cell_contents, value.__closure__ or ()))
        return (
            _is_trusted_function(value)
            and _is_fixed((cells, value.__defaults__))
            and not value.__kwdefaults__
        )
    return _is_frozen_record(value) and all(map(_is_fixed, _record_items(value)))


def _is_trusted_function(fn: types.FunctionType) -> bool:
    return _is_trusted_name(fn.__module__) and _is_trusted_name(fn.__globals__.get("__name__"))


def _is_frozen_record(value: Any) -> bool:
    """Tell whether a value is an instance of a frozen dataclass of JAX or Linen."""
    params = getattr(type(value), "__dataclass_params__", None)
    return params is not None and params.frozen and _is_trusted_name(type(value).__module__)


def _record_items(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in dataclasses.fields(value))


def _is_trusted_name(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _TRUSTED_PACKAGES


def _fingerprint(value: Any) -> Any:
    """Return a hashable stand-in that is equal only for values that behave alike.

    Raises:
      OpaqueError: nothing can be promised for such a value.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind in _TYPED_ATOMS:
        return kind, repr(value)  # 0.0 equals -0.0
    if kind in (tuple, list):
        return kind, *map(_fingerprint, value)
    if kind is dict:
        return dict, *((_fingerprint(name), _fingerprint(item)) for name, item in value.items())
    if kind is types.FunctionType:
        return _fingerprint_function(value)
    if kind is functools.partial:
        return functools.partial, *map(_fingerprint, (value.func, value.args, value.keywords))
    if isinstance(value, np.generic):
        return kind, repr(value)
    if isinstance(value, type | np.dtype):
        if (
            isinstance(value, type)
            and not _is_trusted_name(value.__module__)
            and value.__module__ != "builtins"
        ):
            raise OpaqueError
        return value
    if isinstance(value, jax.sharding.PartitionSpec | jax.sharding.Mesh):
        return value
    return _fingerprint_instance(value)


def _fingerprint_instance(value: Any) -> Any:
    kind = type(value)
    if _is_frozen_record(value):
        return kind, *map(_fingerprint, _record_items(value))
    wrapped = inspect.getattr_static(value, "__wrapped__", None)
    if _is_trusted_name(kind.__module__) and isinstance(
        wrapped, types.FunctionType
    ):  # a jitted function
        return kind, _fingerprint(wrapped)
    raise OpaqueError


def _fingerprint_function(fn: types.FunctionType) -> Any:
    cells = tuple(map(_cell_contents, fn.__closure__ or ()))
    parts = tuple(map(_fingerprint, (cells, fn.__defaults__, fn.__kwdefaults__)))
    if _is_trusted_function(fn):
        return fn.__code__, parts
    names = _global_names(fn.__code__)
    return fn.__code__, parts, tuple((name, _fingerprint_global(fn, name)) for name in names)


def _cell_contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # an empty cell
        raise OpaqueError from None


def _fingerprint_global(fn: types.FunctionType, name: str) -> Any:
    if name not in fn.__globals__:
        if name in _PURE_BUILTINS:
            return name
        raise OpaqueError
    value = fn.__globals__[name]
    if value is fn:
        return name
    if isinstance(value, types.ModuleType):
        draws = value.__name__.startswith("numpy") and "random" in _all_names(fn.__code__)
        if _is_trusted_name(value.__name__) and not draws:
            return value.__name__
        raise OpaqueError
    return _fingerprint(value)


_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL", "IMPORT_NAME", "STORE_ATTR", "STORE_SUBSCR"})


@functools.lru_cache(maxsize=1024)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    """Return the global names a function's code reads, those of the functions inside it too.

    Raises:
      OpaqueError: the code writes to something that may outlive the call, or imports.
    """
    names = set()
    for inner in _codes(code):
        if "config" in inner.co_names:
            raise OpaqueError
        for instruction in dis.get_instructions(inner):
            rebinds = (
                instruction.opname == "STORE_DEREF" and instruction.argval in inner.co_freevars
            )
            if rebinds or instruction.opname in _WRITES:
                raise OpaqueError
            if instruction.opname == "LOAD_GLOBAL":
                names.add(instruction.argval)
    return tuple(sorted(names))


def _all_names(code: types.CodeType) -> set[str]:
    return {name for inner in _codes(code) for name in inner.co_names}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
