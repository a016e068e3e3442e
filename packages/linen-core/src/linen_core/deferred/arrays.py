"""DeferredArray: the result of a recorded operation."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from linen_core._jax_compat import ShapedTracer, Tracer, is_value_demanded, set_current_trace
from linen_core.deferred.recording import AbsentValueError

__all__ = ["DeferredArray"]


class DeferredArray(ShapedTracer):  # type: ignore[misc]
    """The result of a recorded operation. Whatever needs its value computes it.

    A reference that outlives the run stays usable: JAX asks `full_lower` for the value when it is used later.
    """

    __slots__ = ("recording", "variable")

    def __init__(self, trace: Any, variable: Any) -> None:
        super().__init__(trace, variable.aval)
        self.recording = trace.recording
        self.variable = variable

    @property
    def value(self) -> Any:
        """The value, in the parent trace: a concrete array, or a tracer of an outer transform."""
        value = self.recording.compute([self.variable])[0]
        if isinstance(value, jax.Array):
            return value
        with set_current_trace(self.recording.parent):
            return jax.numpy.asarray(value)

    def full_lower(self) -> Any:
        """Return the value. Eager operations call this for an array that outlived its run."""
        return self.value

    def to_concrete_value(self) -> Any:
        """Return the value where JAX may need it: a size, an index, a mask, a scalar, or on demand; else None.

        JAX also asks in `asarray` and `astype`, without need. A value for every array would run the forward pass.
        """
        is_small = self.size == 1 or not jax.numpy.issubdtype(self.dtype, np.inexact)
        if not (is_small or is_value_demanded()):
            return None
        try:
            value = self.value
        except AbsentValueError:
            return None
        return value.to_concrete_value() if isinstance(value, Tracer) else value

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return np.asarray(self.value, *args, **kwargs)


def _delegate(name: str) -> Callable[..., Any]:
    def method(self: DeferredArray, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.value, name)(*args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Call `{name.strip('_')}` of the value."
    return method


_METHODS = (
    "__bool__",
    "__int__",
    "__float__",
    "__complex__",
    "__index__",
    "__repr__",
    "__str__",
    "__format__",
    "__reduce__",
    "__deepcopy__",
    "__dlpack__",
    "__dlpack_device__",
    "addressable_data",
    "copy_to_host_async",
    "block_until_ready",
    "delete",
    "devices",
    "is_deleted",
    "item",
    "on_device_size_in_bytes",
    "tobytes",
    "tolist",
    "unsafe_buffer_pointer",
)
_PROPERTIES = (
    "addressable_shards",
    "committed",
    "device",
    "global_shards",
    "is_fully_addressable",
    "is_fully_replicated",
    "sharding",
)
for _name in _METHODS:
    setattr(DeferredArray, _name, _delegate(_name))
for _name in _PROPERTIES:
    _doc = f"The attribute `{_name}` of the value."
    setattr(DeferredArray, _name, property(operator.attrgetter(f"value.{_name}"), doc=_doc))
