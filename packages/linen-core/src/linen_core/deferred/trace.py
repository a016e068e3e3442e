"""A JAX trace that records operations and runs them only when a value is needed.

Under a `DeferredTrace` every operation returns a `DeferredArray`. Its shape and dtype are known; its value is computed
on demand, by running the operations that lead to it, one by one, as eager JAX would. A Python body therefore runs once
and may still look at values: `float(x)`, `if x > 0` and `print(x)` run what they need. Operations with side effects
run immediately, in program order.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core._jax_compat import (
    Trace,
    Tracer,
    Var,
    new_equation,
    remove_unused,
    set_current_trace,
    trace_context,
)

__all__ = ["AbsentValueError", "Call", "DeferredArray", "DeferredTrace", "Recording"]

_IMMEDIATE = ("pure_callback", "io_callback")
"""Primitives that JAX may drop, but whose Python function a user expects to run."""


class AbsentValueError(ValueError):
    """The value of an argument without value is needed.

    Attributes:
      aval: the abstract value of the argument.
    """

    def __init__(self, aval: Any) -> None:
        self.aval = aval
        super().__init__(f"The value of {aval} is needed, but only its shape and dtype are known.")


class Call:
    """A pure function of arrays that is recorded as one operation, with one result.

    Attributes:
      function: the function.
      invars: the variables of its arguments.
      outvars: the variable of its result.
      template: the elementwise program of the function, see `linen_core.deferred.elementwise`.
    """

    __slots__ = ("function", "invars", "outvars", "template")

    def __init__(
        self, function: Callable[..., Any], invars: list[Any], outvar: Any, template: Any
    ) -> None:
        self.function = function
        self.invars = invars
        self.outvars = [outvar]
        self.template = template


class Recording:
    """Recorded operations.

    It is separate from the trace that fills it: JAX's caches may keep a trace, and would keep every array alive.

    Attributes:
      parent: the trace that runs the operations: eager execution, or the trace of an outer JAX transform.
      equations: the recorded equations, in program order.
      values: the values of variables that are known: constants, and results that were computed.
    """

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.equations: list[Any] = []
        self.values: dict[Any, Any] = {}

    def compute(self, variables: Sequence[Any], *, keep: bool = True) -> list[Any]:
        """Return the values of variables; run the operations that lead to them.

        Args:
          variables: the variables.
          keep: whether to keep the values of all intermediate results for later calls; otherwise each is freed after
            its last use.

        Raises:
          AbsentValueError: a value depends on an argument without value.
        """
        with set_current_trace(self.parent):
            return self.replay(variables, self.values if keep else dict(self.values), keep=keep)

    def replay(
        self, variables: Sequence[Any], values: dict[Any, Any], *, keep: bool = False
    ) -> list[Any]:
        """Run the operations that lead to variables in the current trace, and add results to ``values``."""
        missing = [variable for variable in variables if variable not in values]
        equations = self._needed(missing, values) if missing else []
        last_uses = {} if keep else _last_uses(equations, variables)
        for number, equation in enumerate(equations):
            _run(equation, values)
            for variable in last_uses.get(number, ()):
                values.pop(variable, None)
        for variable in missing:
            if variable not in values:
                raise AbsentValueError(variable.aval)
        return [values[variable] for variable in variables]

    def producers(self) -> dict[Any, Any]:
        """Return the equation that computes each variable."""
        return {out: equation for equation in self.equations for out in equation.outvars}

    def _needed(self, variables: Iterable[Any], values: Mapping[Any, Any]) -> list[Any]:
        """Return the equations that lead to variables, without unused results and what only these need."""
        needed = set(variables)
        found = []
        for equation in reversed(self.equations):
            used = [out in needed and out not in values for out in equation.outvars]
            if not any(used):
                continue
            if isinstance(equation, Call):
                found.append(equation)
                needed.update(equation.invars)
                continue
            used_inputs, pruned = remove_unused(used, equation)
            found.append(pruned)
            needed.update(
                var for var, is_used in zip(equation.invars, used_inputs, strict=True) if is_used
            )
        return found[::-1]


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
        """Record one operation, or run it if it has a side effect."""
        inputs = [self._variable(arg) for arg in args]
        avals, effects = primitive.abstract_eval(*[var.aval for var in inputs], **params)
        if effects or primitive.name in _IMMEDIATE:
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
        self.recording.values[variable] = value
        return variable


def _run(equation: Any, values: dict[Any, Any]) -> None:
    for variable in equation.invars:
        if variable not in values:
            raise AbsentValueError(variable.aval)
    inputs = [values[variable] for variable in equation.invars]
    if isinstance(equation, Call):
        values[equation.outvars[0]] = equation.function(*inputs)
        return
    params = equation.primitive.get_bind_params(equation.params)
    with equation.ctx.manager:
        results = equation.primitive.bind(*inputs, **params)
    outputs = results if equation.primitive.multiple_results else [results]
    values.update(zip(equation.outvars, outputs, strict=True))


def _last_uses(equations: Sequence[Any], results: Iterable[Any]) -> dict[int, list[Any]]:
    """Return which variables are not used after each equation."""
    seen = set(results)
    found: dict[int, list[Any]] = {}
    for number, equation in reversed(list(enumerate(equations))):
        for variable in (*equation.outvars, *equation.invars):
            if variable not in seen:
                seen.add(variable)
                found.setdefault(number, []).append(variable)
    return found


class DeferredArray(Tracer):  # type: ignore[type-arg]
    """The result of a recorded operation. Whatever needs its value computes it.

    A reference that outlives the run stays usable: JAX asks `full_lower` for the value when it is used later.
    """

    __slots__ = ("recording", "variable")

    def __init__(self, trace: DeferredTrace, variable: Any) -> None:
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
        """Return the value where JAX may need it: a size, an index, a mask or a scalar; else None.

        JAX also asks in `asarray` and `astype`, without need. A value for every array would run the forward pass.
        """
        is_small = self.size == 1 or not jax.numpy.issubdtype(self.dtype, np.inexact)
        if not is_small:
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
