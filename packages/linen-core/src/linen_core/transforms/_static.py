"""Static arguments of `jit` and `remat`: Python values, such as flags, that stay out of the traced program."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax

from linen_core.errors import StaticArgumentError, TracedFlagError
from linen_core.module.base import Module

__all__ = ["StaticArguments"]

_PYTHON_VALUES = (bool, int, float, complex, str)
_CONVERSION_ERRORS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerIntegerConversionError,
    TypeError,
    ValueError,
)


class StaticArguments:
    """The static arguments of one transformed method.

    Args:
      transform: name of the transform.
      fn: the method, or another function of a module.
      argnums: numbers of the static arguments; the first one after the module is number 0.
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
        self._argnums = tuple(argnums) if isinstance(argnums, Iterable) else (argnums,)
        self._parameters, self._takes_more = _positional_parameters(fn)
        own = (argnames,) if isinstance(argnames, str) else tuple(argnames)
        self.names = frozenset({*own, *filter(None, map(self._name_of, self._argnums))})
        """Names of the static arguments, wherever they are passed by keyword."""

    def _name_of(self, number: int) -> str | None:
        return self._parameters[number] if 0 <= number < len(self._parameters) else None

    def positions(self, module: Module, args: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the numbers of those static arguments that are passed by position.

        Raises:
          StaticArgumentError: the method has no argument of such a number.
        """
        for number in self._argnums:
            if number >= len(self._parameters) and not self._takes_more:
                raise StaticArgumentError(
                    self._transform,
                    self._where(module),
                    f"it has no argument number {number + 1}, only {self._numbered()}",
                )
        return self.present(args)

    def present(self, args: tuple[Any, ...]) -> tuple[int, ...]:
        """As `positions`, where a number that the method does not have is ignored."""
        return tuple(number for number in self._argnums if number < len(args))

    def _where(self, module: Module) -> str:
        path = "" if module.scope is None else f" at {module.scope.path_text}"
        return f"{type(module).__name__}.{self._method}{path}"

    def _numbered(self) -> str:
        named = (f"{number} ({name})" for number, name in enumerate(self._parameters, 1))
        return ", ".join(("0 (the module)", *named))

    @contextlib.contextmanager
    def named_errors(
        self, module: Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[None]:
        """Name the argument where the method needs the value of a Python argument that was traced.

        Raises:
          StaticArgumentError: an argument that is declared static is an array, or cannot be hashed.
          TracedFlagError: a Python value was passed as an argument that is not static.
        """
        try:
            yield
        except (StaticArgumentError, TracedFlagError):
            raise
        except _CONVERSION_ERRORS as error:
            unhashable = isinstance(error, ValueError) and "static arg" in str(error)
            if unhashable:
                found = self._unhashable(args, kwargs)
                raise StaticArgumentError(self._transform, self._where(module), found) from error
            candidates = self._traced_python_values(args, kwargs)
            needs_value = isinstance(error, _CONVERSION_ERRORS[:2])
            strings = [name for name, value in candidates.items() if isinstance(value, str)]
            if (needs_value and candidates) or (strings and "str" in str(error)):
                raise TracedFlagError(
                    self._transform,
                    self._where(module),
                    {name: repr(value) for name, value in candidates.items()},
                    {name: self._number_of(name) for name in candidates},
                ) from error
            raise

    def _number_of(self, name: str) -> int | None:
        return self._parameters.index(name) + 1 if name in self._parameters else None

    def _unhashable(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        given = {f"number {number + 1}": args[number] for number in self.present(args)}
        given.update({repr(name): kwargs[name] for name in self.names & set(kwargs)})
        for label, value in given.items():
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
    """Return the names of the parameters after the module, and whether there may be more."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        return (), True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(parameter.name for parameter in parameters if parameter.kind in positional)
    return names[1:], any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters)
