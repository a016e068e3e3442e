"""A JAX trace that records operations and runs them only when a value is needed.

Under a `DeferredTrace` every operation returns a `DeferredArray`. Its shape and dtype are known; its value is computed
on demand, by running the operations that lead to it, one by one, as eager JAX would. A Python body therefore runs once
and may still look at values: `float(x)`, `if x > 0` and `print(x)` run what they need. Operations with side effects
run immediately, in program order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from linen_core._jax_compat import (
    Trace,
    Var,
    config_value,
    new_equation,
    set_current_trace,
    trace_context,
)
from linen_core.deferred.arrays import DeferredArray
from linen_core.deferred.recording import Call, Recording

__all__ = ["DeferredTrace"]

_IMMEDIATE = ("pure_callback", "io_callback")
"""Primitives that JAX may drop, but whose Python function a user expects to run."""


class DeferredTrace(Trace):  # type: ignore[misc]
    """Records operations as equations.

    Attributes:
      parent_trace: the trace around this one; None after the recording.
      recording: the recorded operations; None after the recording.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parent_trace = trace_context.trace
        self.recording: Any = Recording(self.parent_trace)
        self._device = config_value("jax_default_device")

    @contextlib.contextmanager
    def recorded(self) -> Iterator[Recording]:
        """Record the operations of a `with` block."""
        try:
            with set_current_trace(self):
                yield self.recording
        finally:
            self.recording = self.parent_trace = None

    def absent(self, shape: tuple[int, ...], dtype: Any) -> DeferredArray:
        """Return an array that never has a value."""
        return DeferredArray(self, Var(jax.core.ShapedArray(shape, dtype)))

    def call(
        self, function: Callable[..., Any], args: Sequence[Any], aval: Any, template: Any
    ) -> DeferredArray:
        """Record a call of a pure function that returns one array.

        Args:
          function: the function; it runs when its value is needed and no program replaces it.
          args: its arguments, arrays.
          aval: the abstract value of its result.
          template: its elementwise program.
        """
        outvar = Var(aval)
        inputs = [self._variable(arg) for arg in args]
        self.recording.equations.append(Call(function, inputs, outvar, template))
        return DeferredArray(self, outvar)

    # The interface that JAX calls

    def process_primitive(self, primitive: Any, args: Sequence[Any], params: Any, /) -> Any:
        """Record one operation. Run it instead if it has a side effect, or inside `jax.default_device` of the body."""
        inputs = [self._variable(arg) for arg in args]
        avals, effects = primitive.abstract_eval(*[var.aval for var in inputs], **params)
        is_elsewhere = config_value("jax_default_device") is not self._device
        if effects or is_elsewhere or primitive.name in _IMMEDIATE:
            values = self.recording.compute(inputs)
            with set_current_trace(self.parent_trace):
                return primitive.bind(*values, **params)
        outputs = [Var(aval) for aval in (avals if primitive.multiple_results else [avals])]
        self.recording.equations.append(new_equation(inputs, outputs, primitive, params))
        arrays = [DeferredArray(self, var) for var in outputs]
        return arrays if primitive.multiple_results else arrays[0]

    def stage_value(self, value: Any) -> Any:
        """Return a Python or NumPy scalar as an array."""
        return DeferredArray(self, self._variable(value))

    def process_call(self, _primitive: Any, fun: Any, args: Any, _params: Any, /) -> Any:
        """Run the function itself."""
        with set_current_trace(self):
            return fun.call_wrapped(*args)

    def process_custom_jvp_call(
        self, _primitive: Any, fun: Any, _jvp: Any, args: Any, /, **_: Any
    ) -> Any:
        """Run the function itself: a gradient is taken outside this trace, or by a trace above it."""
        with set_current_trace(self):
            return fun.call_wrapped(*args)

    def process_custom_vjp_call(
        self, _primitive: Any, fun: Any, _fwd: Any, _bwd: Any, args: Any, /, **_: Any
    ) -> Any:
        """Run the function itself, as for `process_custom_jvp_call`."""
        with set_current_trace(self):
            return fun.call_wrapped(*args)

    def __getattr__(self, name: str) -> Any:
        """Let the parent handle the other kinds of operations, for example `process_shard_map`."""
        if not name.startswith("process_"):
            raise AttributeError(name)
        process = getattr(self.parent_trace, name)

        def run(primitive: Any, fun: Any, args: Sequence[Any], *rest: Any, **params: Any) -> Any:
            values = self.recording.compute([self._variable(arg) for arg in args])
            with set_current_trace(self.parent_trace):
                return process(primitive, fun, values, *rest, **params)

        return run

    def _variable(self, value: Any) -> Any:
        if isinstance(value, DeferredArray) and value._trace is self:
            return value.variable
        variable = Var(jax.typeof(value))
        if isinstance(value, np.ndarray):
            value = value.copy()  # the body may modify its own before the operation runs
        self.recording.values[variable] = value
        return variable
