"""Calls of initializers: the shapes that they return, and their record in a deferred run. Both are cached.

`param` compares the shape of every parameter with that of its initializer's result. Evaluating the initializer
abstractly costs a hundred times more than the comparison. A deferred run records an initializer as one operation, and
tracing it would cost more than the rest of a parameter. The caches cover initializers of JAX and Linen, which are pure.
A user's function may read a global or a list that changes, and is called each time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import types
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from linen_core._jax_compat import config_value, is_staging, trace_context
from linen_core.deferred.arrays import DeferredArray
from linen_core.deferred.elementwise import KEY, elementwise_program
from linen_core.deferred.program import Elementwise
from linen_core.deferred.trace import DeferredTrace
from linen_core.fingerprint import NoFingerprintError, fingerprint, is_of_library
from linen_core.typing import PRNGKey

__all__ = ["expected_shapes", "initial_value"]

Shapes: TypeAlias = tuple[tuple[int, ...], ...]


class _Template(NamedTuple):
    """An initializer as an elementwise function of any key."""

    aval: Any
    array: Elementwise


# Any entry can be dropped at any time. Keys hold functions of JAX and Linen and immutable values, never an array.
_shapes: dict[Hashable, Shapes] = {}
_templates: dict[Hashable, _Template | None] = {}
_MAX_ENTRIES = 8192

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def expected_shapes(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Shapes:
    """Return the shapes of the leaves of ``init_fn(key, *args, **kwargs)``, in flattening order."""
    if not kwargs:
        try:
            cached = _shapes.get((init_fn, args))
        except TypeError:  # unhashable
            cached = None
        if cached is not None:
            return cached
    try:
        key = _fingerprint(init_fn, args, kwargs)
    except NoFingerprintError:
        return _evaluate(init_fn, args, kwargs)
    shapes = _shapes.get(key)
    if shapes is None:
        shapes = _shapes[key] = _evaluate(init_fn, args, kwargs)
    if len(_shapes) >= _MAX_ENTRIES:
        _shapes.clear()
    if not kwargs:
        with contextlib.suppress(TypeError):  # unhashable
            _shapes[init_fn, args] = shapes  # the next lookup needs no fingerprint
    return shapes


def initial_value(
    init_fn: Callable[..., Any], key: PRNGKey, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call an initializer, or record the call if it is known to be an elementwise function of random bits.

    Tracing an initializer costs more than the rest of a parameter. A known one is traced once for each shape and dtype.
    """
    trace = trace_context.trace
    if kwargs or not isinstance(trace, DeferredTrace):
        return init_fn(key, *args, **kwargs)
    # Under `jax.jit` an initializer is one compiled function, of which fewer results are rounded.
    settings = (
        config_value("jax_enable_x64"),
        config_value("jax_threefry_partitionable"),
        is_staging(),
    )
    try:
        cache_key = (init_fn, args, jax.typeof(key), settings)
        template = _templates[cache_key] if cache_key in _templates else _add_template(cache_key)
    except (NoFingerprintError, TypeError):  # TypeError: unhashable
        template = None
    if template is None:
        return init_fn(key, *args)
    function = functools.partial(_call, init_fn, args)
    return trace.call(function, [key], template.aval, template.array)


def _fingerprint(
    init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Hashable:
    """Return a hashable value that is equal only for initializers that map a key to the same value.

    Raises:
      NoFingerprintError: the initializer is not one of JAX or Linen, or an argument may change.
    """
    if not _is_fixed((init_fn, args, tuple(kwargs.items()))):
        raise NoFingerprintError(
            ("init_fn",), "not an initializer of JAX or Linen over immutable values"
        )
    return fingerprint((init_fn, args, kwargs))


def _evaluate(init_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Shapes:
    result = jax.eval_shape(lambda: init_fn(jax.random.key(0), *args, **kwargs))
    return tuple(np.shape(leaf) for leaf in jax.tree.leaves(result))


def _is_fixed(value: Any) -> bool:
    """Return whether a value is immutable, and any code in it belongs to JAX or Linen."""
    kind = type(value)
    if kind in _PLAIN or isinstance(
        value, np.dtype | jax.sharding.PartitionSpec | jax.sharding.Mesh
    ):
        return True
    if isinstance(value, type):
        return value.__module__ == "builtins" or is_of_library(value)
    if kind is tuple:
        return all(map(_is_fixed, value))
    if kind is functools.partial:
        return _is_fixed((value.func, value.args, tuple(value.keywords.items())))
    if kind is types.FunctionType:
        cells = tuple(cell.cell_contents for cell in value.__closure__ or ())
        return is_of_library(value) and _is_fixed((cells, value.__defaults__, value.__kwdefaults__))
    if dataclasses.is_dataclass(value):
        is_frozen = value.__dataclass_params__.frozen  # type: ignore[union-attr]
        parts = tuple(getattr(value, field.name) for field in dataclasses.fields(value))
        return is_frozen and is_of_library(kind) and _is_fixed(parts)
    wrapped = getattr(value, "__wrapped__", None)  # a jitted function
    return is_of_library(kind) and type(wrapped) is types.FunctionType and _is_fixed(wrapped)


def _call(init_fn: Callable[..., Any], args: tuple[Any, ...], key: PRNGKey) -> Any:
    return init_fn(key, *args)


def _add_template(cache_key: Any) -> _Template | None:
    """Trace an initializer with a key that has no value.

    Raises:
      NoFingerprintError: the initializer may be impure.
    """
    init_fn, args, key, _ = cache_key
    _fingerprint(init_fn, args, {})
    trace = DeferredTrace()
    absent = trace.absent(key.shape, key.dtype)
    with trace.recorded() as recording:
        result = init_fn(absent, *args)
    template = None
    if isinstance(result, DeferredArray) and result.recording is recording:
        values = {**recording.values, absent.variable: KEY}
        array = elementwise_program(result.variable, recording.producers(), values)
        if array is not None and array.sharding is None:
            template = _Template(result.aval, array)
    if len(_templates) >= _MAX_ENTRIES:
        _templates.clear()
    _templates[cache_key] = template
    return template
