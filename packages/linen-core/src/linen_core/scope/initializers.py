"""Calls of initializers under a deferred run: an initializer of JAX or Linen is recorded as one operation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax

from linen_core._jax_compat import config_value, trace_context
from linen_core.deferred.arrays import DeferredArray
from linen_core.deferred.elementwise import KEY, elementwise_program
from linen_core.deferred.program import Elementwise
from linen_core.deferred.trace import DeferredTrace
from linen_core.fingerprint import NoFingerprintError
from linen_core.scope.shapes import fingerprint_initializer
from linen_core.typing import PRNGKey

__all__ = ["initial_value"]


class _Template(NamedTuple):
    """An initializer as an elementwise function of any key."""

    aval: Any
    array: Elementwise


# Any entry can be dropped at any time. Keys hold functions of JAX and Linen and immutable values, never an array.
_templates: dict[Hashable, _Template | None] = {}
_MAX_TEMPLATES = 4096


def initial_value(
    init_fn: Callable[..., Any], key: PRNGKey, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call an initializer, or record the call if it is known to be an elementwise function of random bits.

    Tracing an initializer costs more than the rest of a parameter. A known one is traced once for each shape and dtype.
    """
    trace = trace_context.trace
    if kwargs or not isinstance(trace, DeferredTrace):
        return init_fn(key, *args, **kwargs)
    settings = config_value("jax_enable_x64"), config_value("jax_threefry_partitionable")
    try:
        cache_key = (init_fn, args, jax.typeof(key), settings)
        template = _templates[cache_key] if cache_key in _templates else _add_template(cache_key)
    except (NoFingerprintError, TypeError):  # TypeError: unhashable
        template = None
    if template is None:
        return init_fn(key, *args)
    function = functools.partial(_call, init_fn, args)
    return trace.call(function, [key], template.aval, template.array)


def _call(init_fn: Callable[..., Any], args: tuple[Any, ...], key: PRNGKey) -> Any:
    return init_fn(key, *args)


def _add_template(cache_key: Any) -> _Template | None:
    """Trace an initializer with a key that has no value.

    Raises:
      NoFingerprintError: the initializer may be impure.
    """
    init_fn, args, key, _ = cache_key
    fingerprint_initializer(init_fn, args, {})
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
    if len(_templates) >= _MAX_TEMPLATES:
        _templates.clear()
    _templates[cache_key] = template
    return template
