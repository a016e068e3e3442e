"""Which traced programs are equal, and therefore cost the same."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

__all__ = ["Programs"]


class Programs:
    """Numbers traced programs: equal programs get the same number.

    Programs are equal if they apply the same operations, with equal parameters, to the same variables and constants.
    Parameters are compared with ``==``. A parameter that has no hash equals only itself, and so do a constant array and
    a function, such as the rule for a derivative.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._inner: dict[int, tuple[Any, int]] = {}

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
        key = self._key(program.jaxpr), tuple(map(_Itself, program.consts))
        return self._numbers.setdefault(key, len(self._numbers))

    def _key(self, jaxpr: Any) -> Hashable:
        places: dict[Any, int] = {}

        def operand(variable: Any) -> Hashable:
            if not hasattr(variable, "val"):
                return places[variable]
            is_number = not variable.aval.shape
            # by their texts: `0.0` is not `-0.0`
            return variable.aval, repr(variable.val) if is_number else _Itself(variable.val)

        def named(variables: Any) -> Hashable:
            for variable in variables:
                places[variable] = len(places)
            return tuple([variable.aval for variable in variables])

        inputs = named(jaxpr.constvars), named(jaxpr.invars)
        equations = []
        for equation in jaxpr.eqns:
            operands = tuple([operand(variable) for variable in equation.invars])
            parameters = tuple([self._parameter(value) for value in equation.params.values()])
            made = named(equation.outvars)
            equations.append((equation.primitive, equation.ctx, operands, parameters, made))
        return inputs, tuple(equations), tuple([operand(variable) for variable in jaxpr.outvars])

    def _parameter(self, value: Any) -> Hashable:
        if hasattr(value, "eqns") and hasattr(value, "consts"):
            return self._inner_number(value)
        if hasattr(value, "eqns"):
            return self._key(value)
        if isinstance(value, tuple | list):
            return tuple([self._parameter(item) for item in value])
        try:
            hash(value)
        except TypeError:
            return _Itself(value)
        return type(value), value

    def _inner_number(self, program: Any) -> int:
        """Number a program within another; models share many of them, which are read once."""
        if id(program) not in self._inner:
            self._inner[id(program)] = program, self.number(program)
        return self._inner[id(program)][1]


class _Itself:
    """A value that equals only itself."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)
