"""Errors of variables, scopes and RNG streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from linen_core.errors._base import LinenError, below, did_you_mean, listing

__all__ = [
    "ApplyScopeInvalidVariablesStructureError",
    "ApplyScopeInvalidVariablesTypeError",
    "ImmutableVariableError",
    "InvalidFilterError",
    "InvalidRngError",
    "InvalidScopeError",
    "LazyInitError",
    "ModifyScopeVariableError",
    "ScopeCollectionNotFound",
    "ScopeParamNotFoundError",
    "ScopeParamShapeError",
    "ScopeVariableNotFoundError",
]


class InvalidFilterError(LinenError, TypeError):
    """A filter of collections or RNG streams is neither a bool, a name, a collection of names nor a DenyList."""

    def __init__(self, filter_like: Any) -> None:
        self.filter_like = filter_like  #: The value that was passed as a filter.
        super().__init__(
            f"Invalid filter {filter_like!r}: expected a bool, a name, a collection of names or a DenyList."
        )


class InvalidRngError(LinenError, ValueError):
    """An RNG stream is missing, or its value is not a PRNG key."""


class LazyInitError(LinenError, ValueError):
    """A variable's initial value depends on an argument that `lazy_init` got as a shape and dtype only."""

    def __init__(self, aval: Any) -> None:
        self.aval = aval  #: The abstract value of the variable.
        super().__init__(
            f"Cannot initialise a variable of {aval}: its initial value depends on an argument of which only the "
            "shape was given. Pass that argument as an array."
        )


class ApplyScopeInvalidVariablesTypeError(LinenError, TypeError):
    """The variables are not a mapping of collections."""

    def __init__(self, found: str = "something else") -> None:
        self.found = found  #: Description of the value found.
        super().__init__(
            "Invalid variables: expected a dict of collections, each a dict with string keys, such as "
            f"{{'params': {{...}}}}, found {found}. Parameters alone are passed as {{'params': parameters}}."
        )


class ApplyScopeInvalidVariablesStructureError(LinenError, ValueError):
    """The variables have a collection 'params' whose only entry is another 'params'."""

    def __init__(self, variables: Any = None) -> None:
        del variables  # not kept: an error must not keep arrays alive
        super().__init__(
            "Invalid variables: found {'params': {'params': ...}}, expected {'params': ...}. "
            "Pass the inner dict, variables['params']."
        )


class ScopeParamNotFoundError(LinenError, KeyError):
    """A module reads a parameter that its scope does not have."""

    def __init__(self, param_name: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.param_name = param_name  #: Name of the parameter.
        self.scope_path = scope_path  #: Path of the module, for example ``"/encoder/Dense_0"``.
        self.known = tuple(known)  #: Names of the parameters that the scope has.
        super().__init__(
            f"Cannot find parameter {param_name!r} at params{below(scope_path)}: found {listing(self.known)} "
            f"there.{did_you_mean(param_name, self.known)} Parameters are created by `init`, or by `apply` with "
            f"{_creating('params')}."
        )


class ScopeVariableNotFoundError(LinenError, KeyError):
    """A module reads a variable that its scope does not have and cannot create."""

    def __init__(self, name: str, col: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.name = name  #: Name of the variable.
        self.col = col  #: Name of the collection.
        self.scope_path = scope_path  #: Path of the module.
        self.known = tuple(known)  #: Names of the variables that the scope has.
        super().__init__(
            f"Cannot find variable {name!r} at {col}{below(scope_path)}: found {listing(self.known)} there."
            f"{did_you_mean(name, self.known)} To create it in `apply`, give it an initializer and pass "
            f"mutable=[{col!r}]."
        )


class ScopeCollectionNotFound(LinenError, KeyError):  # noqa: N818 - flax's name
    """A module reads from a collection that is missing or empty.

    The message distinguishes a collection that was left out, one whose name was mistyped, one that is empty, and
    parameters that were passed without ``{"params": ...}`` around them.
    """

    def __init__(
        self,
        col_name: str,
        var_name: str,
        scope_path: str,
        found: Iterable[str] = (),
        unwrapped: bool = False,
    ) -> None:
        self.col_name = col_name  #: Name of the collection.
        self.var_name = var_name  #: Name of the variable that the module reads.
        self.scope_path = scope_path  #: Path of the module.
        self.found = tuple(found)  #: Names at the top level of the variables.
        self.unwrapped = (
            unwrapped  #: Whether the variables look like the content of the collection.
        )
        super().__init__(
            f"Cannot read {var_name!r} at {col_name}{below(scope_path)}: {self._reason()}"
        )

    def _reason(self) -> str:
        col, found = self.col_name, listing(self.found)
        if self.unwrapped:
            return (
                f"the variables hold {found} at the top level, where collections are expected. "
                f"Pass {{{col!r}: variables}}."
            )
        if col in self.found:
            return f"the collection {col!r} is empty. Pass the variables that `init` returned."
        if hint := did_you_mean(col, self.found):
            return f"the variables have {found}, but not the collection {col!r}.{hint}"
        return (
            f"the variables do not have the collection {col!r} (found {found}). "
            f"Pass it, or let `apply` create it with {_creating(col)}."
        )


class ScopeParamShapeError(LinenError, ValueError):
    """The shape of a parameter differs from the shape that its initializer returns."""

    def __init__(
        self,
        param_name: str,
        scope_path: str,
        value_shape: Sequence[int],
        init_shape: Sequence[int],
    ) -> None:
        self.param_name = param_name  #: Name of the parameter.
        self.scope_path = scope_path  #: Path of the module.
        self.value_shape = tuple(value_shape)  #: The shape found.
        self.init_shape = tuple(init_shape)  #: The shape expected.
        super().__init__(
            f"Cannot use {param_name!r} at params{below(scope_path)}: expected shape {self.init_shape}, found "
            f"{self.value_shape} in the variables. Check the shape of the input and the module's features "
            "against those that the variables were created with."
        )


class InvalidScopeError(LinenError, RuntimeError):
    """A scope was used after the `init` or `apply` that created it had ended."""

    def __init__(self, scope_name: str | None) -> None:
        self.scope_name = scope_name  #: Name of the scope.
        super().__init__(
            f"Cannot use the scope {scope_name!r}: its `init` or `apply` has ended. "
            "Use `module.bind(variables)` for a module that stays usable."
        )


class ModifyScopeVariableError(LinenError, ValueError):
    """A variable of an immutable collection was written."""

    def __init__(self, col: str, variable_name: str, scope_path: str) -> None:
        self.col = col  #: Name of the collection.
        self.variable_name = variable_name  #: Name of the variable.
        self.scope_path = scope_path  #: Path of the module.
        super().__init__(
            f"Cannot write {variable_name!r} at {col}{below(scope_path)}: the collection {col!r} is immutable. "
            f"Pass mutable=[{col!r}] to `apply` and use the updated variables that it returns, or pass it to "
            "`bind` and read them from the bound module."
        )


def _creating(col: str) -> str:
    """Render the arguments with which `apply` creates variables of a collection."""
    key = " and rngs={'params': jax.random.key(...)}" if col == "params" else ""
    return f"mutable=[{col!r}]{key}"


class ImmutableVariableError(LinenError):
    """A variable in immutable mode was changed."""
