"""Static arguments of `jit` and `remat`: Python values, such as flags, that are not traced."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from linen_core.errors import LinenError, StaticArgumentError, TracedFlagError
from linen_core.module.base import Module

__all__ = ["StaticArguments", "as_names", "as_numbers"]

_PYTHON_VALUES = (bool, int, float, complex, str)
_VALUE_ERRORS = (jax.errors.ConcretizationTypeError, jax.errors.TracerIntegerConversionError)
"""JAX raises them where Python code uses the value of a tracer, for example in an ``if``."""


def as_numbers(argnums: int | Iterable[int]) -> tuple[int, ...]:
    """Return one argument number or several as a tuple."""
    return tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)


def as_names(argnames: str | Iterable[str]) -> tuple[str, ...]:
    """Return one argument name or several as a tuple."""
    return (argnames,) if isinstance(argnames, str) else tuple(argnames)


class StaticArguments:
    """The static arguments of one transformed method.

    Args:
      transform: name of the transform.
      fn: the method, or another function of a module.
      argnums: numbers of the static arguments; the first argument after the module is number 0.
      argnames: names of further static arguments.
    """

    def __init__(
        self,
        transform: str,
        fn: Callable[..., Any],
        argnums: int | Iterable[int],
        argnames: str | Iterable[str] = (),
    ) -> None:
        self._transform = transform
        self._method = getattr(fn, "__name__", repr(fn))
        self._argnums = as_numbers(argnums)
        self._parameters, self._takes_more = _positional_parameters(fn)
        by_number = filter(None, map(self._name_of, self._argnums))
        self.names = frozenset({*as_names(argnames), *by_number})
        """Names of all static arguments. JAX needs them for arguments that are passed by keyword."""

    def _name_of(self, number: int) -> str | None:
        return self._parameters[number] if 0 <= number < len(self._parameters) else None

    def positions(self, module: Module, args: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the numbers of the static arguments that are passed by position.

        Raises:
          StaticArgumentError: the method has fewer arguments.
        """
        for number in self._argnums:
            if number >= len(self._parameters) and not self._takes_more:
                numbered = (f"{n} ({name})" for n, name in enumerate(self._parameters, 1))
                reason = (
                    f"it has no argument number {number + 1}, only "
                    f"{', '.join(('0 (the module)', *numbered))}"
                )
                raise StaticArgumentError(self._transform, self._where(module), reason)
        return self.present(args)

    def present(self, args: tuple[Any, ...]) -> tuple[int, ...]:
        """Like `positions`, but ignore a number that the method does not have."""
        return tuple(number for number in self._argnums if number < len(args))

    def _where(self, module: Module) -> str:
        path = "" if module.scope is None else f" at {module.scope.path_text}"
        return f"{type(module).__name__}.{self._method}{path}"

    @contextlib.contextmanager
    def named_errors(
        self, module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[None]:
        """Replace JAX's errors about static and traced arguments by errors that name the argument.

        Raises:
          StaticArgumentError: a static argument is an array, or cannot be hashed.
          TracedFlagError: the method uses the value of a Python argument that is not static.
        """
        try:
            yield
        except (StaticArgumentError, TracedFlagError):  # of a transform inside this one
            raise
        except (TypeError, ValueError) as error:
            explanation = self._explain(error, self._where(module), args, kwargs)
            if explanation is None:
                raise
            raise explanation from error

    def _explain(
        self, error: Exception, where: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> LinenError | None:
        """Return the error that names the argument, or None if the cause is something else."""
        if isinstance(error, ValueError) and "static arg" in str(error):
            return StaticArgumentError(self._transform, where, self._unhashable(args, kwargs))
        flags = self._traced_python_values(args, kwargs)
        uses_value = bool(flags) and isinstance(error, _VALUE_ERRORS)
        # JAX cannot trace a string at all: it raises a TypeError that mentions the type.
        traces_string = any(isinstance(v, str) for v in flags.values()) and "str" in str(error)
        if not uses_value and not traces_string:
            return None
        rendered = {name: repr(value) for name, value in flags.items()}
        numbers = {name: number for number, name in enumerate(self._parameters, 1)}
        return TracedFlagError(
            self._transform, where, rendered, {name: numbers.get(name) for name in flags}
        )

    def _unhashable(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        static = {f"number {number + 1}": args[number] for number in self.present(args)}
        static.update({repr(name): kwargs[name] for name in self.names & set(kwargs)})
        for label, value in static.items():
            try:
                hash(value)
            except TypeError:
                kind = type(value).__name__
                return f"argument {label} is static, but it is of type {kind}, which has no hash"
        return "a static argument has no hash"

    def _traced_python_values(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the Python values among the arguments that are not static, by name."""
        static = set(self.present(args))
        named = {
            self._name_of(number) or f"number {number + 1}": value
            for number, value in enumerate(args)
            if number not in static
        }
        named.update((name, value) for name, value in kwargs.items() if name not in self.names)
        return {name: value for name, value in named.items() if isinstance(value, _PYTHON_VALUES)}


def _positional_parameters(fn: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """Return the names of the positional parameters after the module, and whether the function takes ``*args``."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return (), True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(parameter.name for parameter in parameters if parameter.kind in positional)
    return names[1:], any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
