"""Programs that compute any element of an array without the others.

The random bits of element i of an array depend only on the key and i (JAX's default threefry with partitionable
bits). An initializer that applies elementwise operations to random bits is therefore a function of the key, i and some
scalars, for every shape. `elementwise_program` extracts this function from recorded equations. Initializers that differ
in shape, key and scale have equal programs: one compilation serves them all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from linen_core._jax_compat import Literal, is_threefry_key
from linen_core.deferred.program import ELEMENTWISE, Elementwise, Program, Step
from linen_core.deferred.recording import Call
from linen_core.deferred.scales import pruned, split_scales

__all__ = ["KEY", "elementwise_program"]

_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
_SAME_ORDER = ("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "sharding_constraint")
_MAX_UNIFORM = 64
"""Elements of the largest value that may be part of a program without being computed elementwise, such as a key."""
_SCALAR_CODE = frozenset({"exp", "log"})
_VECTOR = 16
"""Compilers compute these operations without vector instructions in most arrays of fewer elements, with other bits."""

KEY = object()
"""An argument of a template: the key, which each call of the initializer passes."""


class _NotElementwiseError(Exception):
    """An operation needs more than one element of an array."""


def elementwise_program(
    result: Any, producers: Mapping[Any, Any], values: Mapping[Any, Any]
) -> Elementwise | None:
    """Extract the elementwise program of a variable from recorded equations.

    Args:
      result: the variable.
      producers: the equation that computes each variable.
      values: the known values.

    Returns:
      The program, or None if some operation is not elementwise.
    """
    aval = result.aval
    # Eager JAX computes complex numbers by several programs, whose rounding is not reproduced here.
    is_real = jnp.issubdtype(aval.dtype, np.floating) or jnp.issubdtype(aval.dtype, np.integer)
    if math.prod(aval.shape) <= 1 or aval.weak_type or not is_real:
        return None
    if not all(isinstance(size, int) for size in aval.shape):
        return None
    try:
        return _Extraction(math.prod(aval.shape), producers, values).of(result)
    except (_NotElementwiseError, TypeError):  # TypeError: parameters that cannot be hashed
        return None


@dataclasses.dataclass
class _Slot:
    number: int
    is_full: bool


class _Extraction:
    """Translates equations into steps.

    A value is *full* if it has one element for each index. Any other value is *uniform*: it is small, and computed
    unchanged.
    """

    def __init__(self, size: int, producers: Mapping[Any, Any], values: Mapping[Any, Any]) -> None:
        self._size = size
        self._producers = producers
        self._values = values
        self._slots: dict[Any, _Slot] = {}
        self._steps: list[Step] = []
        self._constants: list[tuple[int, bytes, str]] = []
        self._arguments: list[tuple[int, Any]] = []
        self._count = 0
        self._sharding: Any = None

    def of(self, result: Any) -> Elementwise:
        slot = self._top_level(result)
        if not slot.is_full:
            raise _NotElementwiseError
        # Zeros do not need the key that their initializer gets. Its steps would keep equal programs apart.
        program = pruned(
            Program(
                tuple(self._steps),
                tuple(self._constants),
                tuple(number for number, _ in self._arguments),
                slot.number,
                is_random=False,
            )
        )
        values = dict(self._arguments)
        arguments = [values[number] for number in program.arguments]
        program, scales = split_scales(program)
        hash(program)  # raises a TypeError here rather than later
        aval = result.aval
        return Elementwise(
            program, arguments + scales, aval.shape, aval.dtype, self._count, self._sharding
        )

    def _new(self, is_full: bool) -> _Slot:
        self._count += 1
        return _Slot(self._count, is_full)

    def _top_level(self, result: Any) -> _Slot:
        """Translate the equations that lead to a variable, without recursion: chains may be long."""
        pending = [result]
        while pending:
            variable = pending[-1]
            if variable in self._slots:
                pending.pop()
            elif variable in self._values:
                self._slots[variable] = self._argument(variable, self._values[variable])
            elif variable not in self._producers:
                raise _NotElementwiseError
            else:
                equation = self._producers[variable]
                missing = [var for var in equation.invars if var not in self._slots]
                if missing:
                    pending += missing
                elif isinstance(equation, Call):
                    self._splice(equation)
                else:
                    self._translate(equation, self._slots, is_rounded=True)
        return self._slots[result]

    def _argument(self, variable: Any, value: Any) -> _Slot:
        if math.prod(variable.aval.shape) > _MAX_UNIFORM:
            raise _NotElementwiseError
        slot = self._new(is_full=False)
        if value is not KEY and not isinstance(value, jax.Array):
            value = np.asarray(value, variable.aval.dtype)
        self._arguments.append((slot.number, value))
        return slot

    def _splice(self, call: Call) -> None:
        """Add the steps of a template, with new slots and the key of this call."""
        template = call.template
        first = self._count
        self._count += template.slot_count
        key = self._slots[call.invars[0]].number
        program = template.program
        number = {slot: slot + first for slot in range(1, template.slot_count + 1)}
        for slot, value in zip(program.arguments, template.arguments, strict=True):
            if value is KEY:
                number[slot] = key
            else:
                self._arguments.append((number[slot], value))
        self._constants += [(number[slot], *rest) for slot, *rest in program.constants]
        for step in program.steps:
            inputs = tuple([number[slot] for slot in step.inputs])
            outputs = tuple([number[slot] for slot in step.outputs])
            self._steps.append(step._replace(inputs=inputs, outputs=outputs))
        self._slots[call.outvars[0]] = _Slot(number[program.result], is_full=True)

    def _translate(self, equation: Any, slots: dict[Any, _Slot], *, is_rounded: bool) -> None:
        name = equation.primitive.name
        inputs = [self._read(atom, slots) for atom in equation.invars]
        if name in _CALLS:
            # Eager JAX compiles a call as a whole: only its results are rounded to memory, not the values inside.
            self._inline(equation, inputs, slots)
            if is_rounded:
                results = [slots[var] for var in equation.outvars]
                numbers = tuple(slot.number for slot in results)
                outputs = [self._new(slot.is_full) for slot in results]
                self._add(None, {}, numbers, outputs, is_rounded=True)
                slots.update(zip(equation.outvars, outputs, strict=True))
            return
        slots.update(
            zip(equation.outvars, self._outputs(equation, inputs, is_rounded), strict=True)
        )

    def _outputs(self, equation: Any, inputs: list[_Slot], is_rounded: bool) -> list[_Slot]:
        name, params = equation.primitive.name, equation.params
        numbers = tuple(slot.number for slot in inputs)
        sizes = [math.prod(var.aval.shape) for var in equation.outvars]
        if name == "random_bits" and math.prod(params["shape"]) == self._size:
            # With several keys, or another generator, the bits of an element depend on more than its index.
            if equation.invars[0].aval.shape or not is_threefry_key(equation.invars[0].aval.dtype):
                raise _NotElementwiseError
            outputs = [self._new(is_full=True)]
            self._add(
                equation.primitive,
                {"bit_width": params["bit_width"]},
                numbers,
                outputs,
                is_rounded,
                full=True,
            )
            return outputs
        if name == "convert_element_type" and params["new_dtype"] == equation.invars[0].aval.dtype:
            return inputs  # only the type's weakness changes
        is_full = any(slot.is_full for slot in inputs)
        is_spread = sizes == [self._size] and [
            math.prod(atom.aval.shape) for atom in equation.invars
        ] == [1]
        if name in _SAME_ORDER and self._is_scalar(equation, sizes):
            return inputs  # scalars of any rank are one thing: elementwise operations ravel them
        if name in _SAME_ORDER and (is_full or is_spread):
            return [self._same_order(equation, inputs[0], sizes[0])]
        if not is_full:
            if max(sizes, default=0) > _MAX_UNIFORM:
                raise _NotElementwiseError
            outputs = [self._new(is_full=False) for _ in sizes]
            shapes = tuple(atom.aval.shape for atom in equation.invars)
            takes_scalars = name in ELEMENTWISE and all(math.prod(shape) == 1 for shape in shapes)
            kept = None if takes_scalars else shapes
            self._add(equation.primitive, params, numbers, outputs, is_rounded, shapes=kept)
            return outputs
        # A uniform array, for example a row that is added to each row, would need another index.
        for atom, slot in zip(equation.invars, inputs, strict=True):
            if not slot.is_full and math.prod(atom.aval.shape) != 1:
                raise _NotElementwiseError
        if name not in ELEMENTWISE or sizes != [self._size]:
            raise _NotElementwiseError
        if name in _SCALAR_CODE and self._size < _VECTOR:
            raise _NotElementwiseError
        outputs = [self._new(is_full=True)]
        self._add(equation.primitive, params, numbers, outputs, is_rounded, full=True)
        return outputs

    def _is_scalar(self, equation: Any, sizes: list[int]) -> bool:
        aval = equation.invars[0].aval
        is_key = jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)
        return not is_key and math.prod(aval.shape) == 1 and sizes == [1]

    def _same_order(self, equation: Any, slot: _Slot, size: int) -> _Slot:
        """Return the slot of an operation that keeps the values and their order, for example a reshape."""
        if equation.params.get("dimensions") is not None and equation.primitive.name == "reshape":
            raise _NotElementwiseError
        if slot.is_full and size != self._size:
            raise _NotElementwiseError
        if equation.primitive.name == "broadcast_in_dim" and slot.is_full:
            raise _NotElementwiseError  # it may insert an axis of size one, but also transpose
        if equation.primitive.name == "sharding_constraint":
            self._sharding = equation.params["sharding"]
        return _Slot(slot.number, slot.is_full or size == self._size)

    def _inline(self, equation: Any, inputs: list[_Slot], slots: dict[Any, _Slot]) -> None:
        jaxpr = equation.params[_CALLS[equation.primitive.name]]
        consts = getattr(jaxpr, "consts", ())
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        if (
            len(consts) or jaxpr.constvars
        ):  # arrays inside a function are not part of what programs compare
            raise _NotElementwiseError
        inner = dict(zip(jaxpr.invars, inputs, strict=True))
        for nested in jaxpr.eqns:
            self._translate(nested, inner, is_rounded=False)
        for outer, atom in zip(equation.outvars, jaxpr.outvars, strict=True):
            slots[outer] = self._read(atom, inner)

    def _read(self, atom: Any, slots: Mapping[Any, _Slot]) -> _Slot:
        if not isinstance(atom, Literal):
            return slots[atom]
        slot = self._new(is_full=False)
        value = np.asarray(atom.val, atom.aval.dtype)
        if value.shape:
            raise _NotElementwiseError
        self._constants.append((slot.number, value.tobytes(), value.dtype.name))
        return slot

    def _add(
        self,
        primitive: Any,
        params: Mapping[str, Any],
        inputs: tuple[int, ...],
        outputs: list[_Slot],
        is_rounded: bool,
        *,
        full: bool = False,
        shapes: tuple[tuple[int, ...], ...] | None = None,
    ) -> None:
        # A program is kept by the cache of compiled blocks. Traced functions in it would differ in every run, and the
        # cache would grow without a limit.
        if any(name == "branches" or "jaxpr" in name for name in params):
            raise _NotElementwiseError
        frozen = tuple(sorted(params.items()))
        numbers = tuple(slot.number for slot in outputs)
        self._steps.append(Step(primitive, frozen, inputs, numbers, full, is_rounded, shapes))
