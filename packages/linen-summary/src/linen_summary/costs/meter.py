"""Measures calls. A call is traced on its own, not compiled, and calls with equal traces are measured once."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from linen_core.abstract import eval_shape
from linen_summary.costs.flops import FLOPS, VJP_FLOPS
from linen_summary.costs.macs import MACS
from linen_summary.costs.measure import Measure
from linen_summary.costs.memory import ACTIVATION_BYTES, TRAINING_BYTES
from linen_summary.errors import UnknownCostError
from linen_summary.recording.calls import Call, as_specs

__all__ = ["MEASURES", "Meter", "Programs", "measures_by_name", "split_arguments"]

MEASURES: tuple[Measure, ...] = (FLOPS, VJP_FLOPS, MACS, ACTIVATION_BYTES, TRAINING_BYTES)
"""All measures, in the order of their columns. A new measure is added here."""


def measures_by_name() -> dict[str, Measure]:
    """Return the measures by their names."""
    return {measure.name: measure for measure in MEASURES}


def split_arguments(arguments: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Separate arguments that request measures from others.

    Returns:
      The names of the requested measures, and the other arguments.

    Example:
      >>> split_arguments({"compute_macs": True, "compute_flops": False, "train": True})
      (('macs',), {'train': True})
    """
    flags = {measure.argument for measure in MEASURES}
    names = tuple(measure.name for measure in MEASURES if arguments.get(measure.argument))
    return names, {name: value for name, value in arguments.items() if name not in flags}


class Meter:
    """Measures the calls of one table.

    Args:
      every_iteration: whether FLOPs count the body of a scan once for each iteration.
    """

    def __init__(self, *, every_iteration: bool) -> None:
        self._every_iteration = every_iteration
        self._cache: dict[Any, Any] = {}
        self._programs = Programs()
        self._results: dict[tuple[int, str], int | str] = {}

    def measure(self, call: Call, names: Sequence[str]) -> dict[str, int | str]:
        """Compute measures of a call.

        Args:
          call: the call.
          names: names of measures.

        Returns:
          For each measure its number, or the reason why it is unknown.
        """
        if not names:
            return {}
        traced = _CallFunction(call, self._every_iteration, self._cache)
        try:
            program = self._programs.number(traced.forward.jaxpr)
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            return dict.fromkeys(names, _reason(error))
        for name in names:
            if (program, name) not in self._results:
                self._results[program, name] = _computed(name, traced)
        return {name: self._results[program, name] for name in names}


def _computed(name: str, traced: _CallFunction) -> int | str:
    """Compute one measure, or return why it is unknown: one gap must not prevent the table."""
    try:
        return measures_by_name()[name].compute(traced)
    except Exception as error:  # noqa: BLE001 - a rule for derivatives may raise anything
        return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, UnknownCostError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().split(chr(10))[0]}"


class _CallFunction:
    """A call as a function of its variables, keys of RNG streams, and array arguments."""

    def __init__(self, call: Call, every_iteration: bool, cache: dict[Any, Any]) -> None:
        self.every_iteration = every_iteration
        self.cache = cache
        self._call = call
        self._leaves, self._structure = jax.tree.flatten(
            (call.args, call.kwargs), is_leaf=lambda leaf: leaf is None
        )
        self._arrays = {
            place: leaf
            for place, leaf in enumerate(self._leaves)
            if isinstance(leaf, jax.ShapeDtypeStruct)
        }

    @functools.cached_property
    def forward(self) -> Any:
        """The trace of the call."""
        return jax.jit(self._apply).trace(*self._inputs)

    @functools.cached_property
    def backward(self) -> Any:
        """The trace of the call and its vector-Jacobian product, applied to its own results."""

        def run(*inputs: Any) -> Any:
            results, vjp = jax.vjp(self._apply, *inputs)
            return vjp(results)

        return jax.jit(run).trace(*self._inputs)

    @functools.cached_property
    def _inputs(self) -> tuple[Any, ...]:
        rest = dict(self._call.streams), self._arrays
        recorded = self._call.variables
        return eval_shape(self._init, *rest) if recorded is None else as_specs(recorded), *rest

    def _init(self, streams: Any, arrays: dict[int, Any]) -> Any:
        call = self._call
        args, kwargs = self._arguments(arrays)
        return call.module.init(streams, *args, method=call.method, mutable=call.mutable, **kwargs)

    def _apply(self, variables: Any, streams: Any, arrays: dict[int, Any]) -> tuple[list[Any], Any]:
        """Return the array results, since a program returns nothing else, and the written collections."""
        call = self._call
        args, kwargs = self._arguments(arrays)
        options = {"rngs": streams, "method": call.method, "mutable": call.mutable}
        result = call.module.apply(variables, *args, **options, **kwargs)
        outputs, written = result if call.mutable is not False else (result, {})
        leaves = jax.tree.leaves(outputs)
        return [leaf for leaf in leaves if isinstance(leaf, jax.Array | np.ndarray)], written

    def _arguments(self, arrays: dict[int, Any]) -> tuple[Any, Any]:
        leaves = [arrays.get(place, leaf) for place, leaf in enumerate(self._leaves)]
        args, kwargs = jax.tree.unflatten(self._structure, leaves)
        return args, kwargs


class Programs:
    """Numbers traced programs. Equal programs, which cost the same, get the same number.

    Programs are equal if they apply the same operations, with equal parameters, to the same variables and constants.
    Parameters are compared with ``==``. A parameter without a hash equals only itself. So does a constant array, and a
    function such as the rule for a derivative.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._nested: dict[Any, int] = {}

    def number(self, program: Any) -> int:
        """Return the number of a program.

        Args:
          program: a `jax.extend.core.ClosedJaxpr`.

        Example:
          >>> programs = Programs()
          >>> traced = (jax.make_jaxpr(lambda x: x * scale)(1.0) for scale in (2.0, 3.0, 2.0))
          >>> [programs.number(program) for program in traced]
          [0, 1, 0]
        """
        key = self._key(program.jaxpr), tuple(map(_ByIdentity, program.consts))
        return self._numbers.setdefault(key, len(self._numbers))

    def _key(self, jaxpr: Any) -> Hashable:
        places: dict[Any, int] = {}

        def operand(variable: Any) -> Hashable:
            if not hasattr(variable, "val"):
                return places[variable]
            is_number = not variable.aval.shape
            # compared as texts, because `0.0 == -0.0` and they cost differently
            return variable.aval, repr(variable.val) if is_number else _ByIdentity(variable.val)

        def define(variables: Any) -> Hashable:
            for variable in variables:
                places[variable] = len(places)
            return tuple([variable.aval for variable in variables])

        inputs = define(jaxpr.constvars), define(jaxpr.invars)
        equations = []
        for equation in jaxpr.eqns:
            operands = tuple([operand(variable) for variable in equation.invars])
            parameters = tuple([self._parameter(value) for value in equation.params.values()])
            results = define(equation.outvars)
            equations.append((equation.primitive, equation.ctx, operands, parameters, results))
        return inputs, tuple(equations), tuple([operand(variable) for variable in jaxpr.outvars])

    def _parameter(self, value: Any) -> Hashable:
        if hasattr(value, "eqns") and hasattr(value, "consts"):
            if value not in self._nested:  # models share many programs, so each is read once
                self._nested[value] = self.number(value)
            return self._nested[value]
        if hasattr(value, "eqns"):
            return self._key(value)
        if isinstance(value, tuple | list):
            return tuple([self._parameter(item) for item in value])
        try:
            hash(value)
        except TypeError:
            return _ByIdentity(value)
        return type(value), value


class _ByIdentity:
    """A value that equals only itself."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)
