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
    """A filter of collections or RNG streams is neither a bool, a name, a collection of names nor a DenyList.

    Attributes:
      filter_like: what was given.
    """

    def __init__(self, filter_like: Any) -> None:
        self.filter_like = filter_like
        super().__init__(
            f"Invalid filter {filter_like!r}: expected a bool, a name, a collection of names or a DenyList."
        )


class InvalidRngError(LinenError, ValueError):
    """An RNG stream is missing, or what was given as a key is none."""


class LazyInitError(LinenError, ValueError):
    """A variable's initial value depends on an argument that `lazy_init` got only the shape of.

    Attributes:
      aval: the abstract value of the variable.
    """

    def __init__(self, aval: Any) -> None:
        self.aval = aval
        super().__init__(
            f"Cannot initialise a variable of {aval}: its initial value depends on an argument of which only the "
            "shape was given. Pass that argument as an array."
        )


class ApplyScopeInvalidVariablesTypeError(LinenError, TypeError):
    """What was given as variables is no mapping of collections.

    Attributes:
      found: what was found, in words.
    """

    def __init__(self, found: str = "something else") -> None:
        self.found = found
        super().__init__(
            "Invalid variables: expected a dict of collections, each a dict with string keys, such as "
            f"{{'params': {{...}}}}, found {found}. Parameters alone are passed as {{'params': parameters}}."
        )


class ApplyScopeInvalidVariablesStructureError(LinenError, ValueError):
    """The variables have a collection 'params' that holds nothing but another 'params'."""

    def __init__(self, variables: Any = None) -> None:
        del variables  # not kept: an error must not keep arrays alive
        super().__init__(
            "Invalid variables: found {'params': {'params': ...}}, expected {'params': ...}. "
            "Pass what lies under the outer 'params'."
        )


class ScopeParamNotFoundError(LinenError, KeyError):
    """A module asks for a parameter that its scope does not have.

    Attributes:
      param_name: name of the parameter.
      scope_path: path of the module, for example ``"/encoder/Dense_0"``.
      known: the names that are there instead.
    """

    def __init__(self, param_name: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.param_name = param_name
        self.scope_path = scope_path
        self.known = tuple(known)
        super().__init__(
            f"Cannot find parameter {param_name!r} at params{below(scope_path)}: found {listing(self.known)} "
            f"there.{did_you_mean(param_name, self.known)} Parameters are created by `init`, or by `apply` with "
            f"{_creating('params')}."
        )


class ScopeVariableNotFoundError(LinenError, KeyError):
    """A module asks for a variable that its scope does not have, and may not create it.

    Attributes:
      name: name of the variable.
      col: name of the collection.
      scope_path: path of the module.
      known: the names that are there instead.
    """

    def __init__(self, name: str, col: str, scope_path: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.col = col
        self.scope_path = scope_path
        self.known = tuple(known)
        super().__init__(
            f"Cannot find variable {name!r} at {col}{below(scope_path)}: found {listing(self.known)} there."
            f"{did_you_mean(name, self.known)} To create it in `apply`, give it an initializer and pass "
            f"mutable=[{col!r}]."
        )


class ScopeCollectionNotFound(LinenError, KeyError):  # noqa: N818 - flax's name
    """A module reads from a collection that is missing or empty.

    The text tells apart a collection that was left out, one whose name was mistyped, one that is empty, and
    parameters that were passed without ``{"params": ...}`` around them.

    Attributes:
      col_name: name of the collection.
      var_name: name of the variable that was asked for.
      scope_path: path of the module.
      found: the names at the top of the variables.
      unwrapped: the variables look like the collection's content itself.
    """

    def __init__(
        self,
        col_name: str,
        var_name: str,
        scope_path: str,
        found: Iterable[str] = (),
        unwrapped: bool = False,
    ) -> None:
        self.col_name = col_name
        self.var_name = var_name
        self.scope_path = scope_path
        self.found = tuple(found)
        self.unwrapped = unwrapped
        super().__init__(
            f"Cannot read {var_name!r} at {col_name}{below(scope_path)}: {self._reason()}"
        )

    def _reason(self) -> str:
        if self.unwrapped:
            return (
                f"the variables hold {listing(self.found)} at the top, which belongs into a collection. "
                f"Pass {{{self.col_name!r}: variables}}."
            )
        if self.col_name in self.found:
            return f"the collection {self.col_name!r} is empty. Pass the variables that `init` returned."
        hint = did_you_mean(self.col_name, self.found)
        if hint:
            return f"there is no collection {self.col_name!r}, only {listing(self.found)}.{hint}"
        return (
            f"there is no collection {self.col_name!r} in the variables (found {listing(self.found)}). "
            f"Pass it, or let `apply` create it with {_creating(self.col_name)}."
        )


class ScopeParamShapeError(LinenError, ValueError):
    """A parameter has another shape than its initializer would make.

    Attributes:
      param_name: name of the parameter.
      scope_path: path of the module.
      value_shape: the shape found.
      init_shape: the shape expected.
    """

    def __init__(
        self,
        param_name: str,
        scope_path: str,
        value_shape: Sequence[int],
        init_shape: Sequence[int],
    ) -> None:
        self.param_name = param_name
        self.scope_path = scope_path
        self.value_shape = tuple(value_shape)
        self.init_shape = tuple(init_shape)
        super().__init__(
            f"Cannot use {param_name!r} at params{below(scope_path)}: expected shape {self.init_shape}, found "
            f"{self.value_shape} in the variables. Check the shape of the input and the module's features "
            "against those that the variables were made with."
        )


class InvalidScopeError(LinenError, RuntimeError):
    """A scope was used after the `init` or `apply` that made it had ended.

    Attributes:
      scope_name: name of the scope.
    """

    def __init__(self, scope_name: str | None) -> None:
        self.scope_name = scope_name
        super().__init__(
            f"The scope {scope_name!r} is no longer valid: its `init` or `apply` has ended. "
            "Use `module.bind(variables)` for a module that lives on."
        )


class ModifyScopeVariableError(LinenError, ValueError):
    """A variable of an immutable collection was written.

    Attributes:
      col: name of the collection.
      variable_name: name of the variable.
      scope_path: path of the module.
    """

    def __init__(self, col: str, variable_name: str, scope_path: str) -> None:
        self.col = col
        self.variable_name = variable_name
        self.scope_path = scope_path
        super().__init__(
            f"Cannot write {variable_name!r} at {col}{below(scope_path)}: the collection {col!r} is immutable. "
            f"Pass mutable=[{col!r}] to `apply` and take the updated variables from what it returns, or pass it to "
            "`bind` and take them from the bound module."
        )


def _creating(col: str) -> str:
    """Render the arguments with which `apply` creates variables of a collection."""
    key = " and rngs={'params': jax.random.key(...)}" if col == "params" else ""
    return f"mutable=[{col!r}]{key}"


class ImmutableVariableError(LinenError):
    """A variable in immutable mode was changed."""
