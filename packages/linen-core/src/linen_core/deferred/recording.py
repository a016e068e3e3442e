"""Recorded operations, and the computation of the values that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from linen_core._jax_compat import call_again, remove_unused, set_current_trace

__all__ = ["AbsentValueError", "Call", "Recording"]


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
        # Later equations come first: when an equation is reached, everything that may need its results was seen.
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


def _run(equation: Any, values: dict[Any, Any]) -> None:
    for variable in equation.invars:
        if variable not in values:
            raise AbsentValueError(variable.aval)
    inputs = [values[variable] for variable in equation.invars]
    if isinstance(equation, Call):
        values[equation.outvars[0]] = equation.function(*inputs)
        return
    with equation.ctx.manager:
        results = call_again(equation, inputs)
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
