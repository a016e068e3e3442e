"""Modules that share names: `share_scope` and `compact_name_scope`; and `merge_param`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from linen_core.errors import CallShareScopeOnUnboundModuleError
from linen_core.module.base import Module
from linen_core.module.wrapping import compact
from linen_core.scope.scope import Scope

__all__ = ["CompactNameScope", "compact_name_scope", "merge_param", "share_scope"]

_T = TypeVar("_T")


class CompactNameScope(Module):
    """Runs a method in its own scope below its module.

    Attributes:
      fn: the method, as a function of the module.
      module_fn: returns the module.
    """

    fn: Callable[..., Any]
    module_fn: Callable[[], Module]

    _keeps_own_name = True

    @compact
    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Call the method."""
        return self.fn(self.module_fn(), *args, **kwargs)


def compact_name_scope(fun: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a compact method that creates its submodules and variables in a scope of the method's name.

    A class may have several such methods, besides one plain compact method.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Model(nn.Module):
      ...     @nn.compact_name_scope
      ...     def up(self, x):
      ...         return nn.Dense(4)(x)
      ...     @nn.compact_name_scope
      ...     def down(self, x):
      ...         return nn.Dense(2)(x)
      ...     def __call__(self, x):
      ...         return self.down(self.up(x))
      >>> sorted(Model().init(jax.random.key(0), jnp.ones((1, 2)))["params"])
      ['down', 'up']
    """
    name = fun.__name__

    @functools.wraps(fun)
    def in_own_scope(self: Module, *args: object, **kwargs: object) -> Any:
        if not hasattr(self, "_compact_name_scope_modules"):
            msg = (
                f"Cannot call {type(self).__name__}.{name}, a compact_name_scope method, on a module that is not "
                "set up. Use it inside `init` or `apply`, or after `bind`."
            )
            raise ValueError(msg)
        return self._compact_name_scope_modules[name](*args, **kwargs)

    in_own_scope.compact_name_scope = True  # type: ignore[attr-defined]
    in_own_scope.make_scope = functools.partial(_make_name_scope, fun)  # type: ignore[attr-defined]
    in_own_scope.nowrap = True  # type: ignore[attr-defined]
    return in_own_scope


def _make_name_scope(fun: Callable[..., Any], module: Module) -> CompactNameScope:
    return CompactNameScope(fun, lambda: module, name=fun.__name__)


def share_scope(module: Module, other: Module, /) -> None:
    """Let two modules use one scope, with the variables and submodules of both.

    Both use the scope of ``other``, or that of ``module`` if ``other`` is below it.

    Raises:
      CallShareScopeOnUnboundModuleError: one of the modules is not bound.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class LowRank(nn.Module):
      ...     dense: nn.Dense
      ...     def setup(self):
      ...         nn.share_scope(self, self.dense)
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return self.dense(x) + x @ self.param("a", nn.initializers.ones, (3, 1))
      >>> sorted(LowRank(nn.Dense(1)).init(jax.random.key(0), jnp.ones((1, 3)))["params"])
      ['a', 'bias', 'kernel']
    """
    if module.scope is None or other.scope is None:
        raise CallShareScopeOnUnboundModuleError
    moved, kept = (
        (other, module.scope) if _is_above(module.scope, other.scope) else (module, other.scope)
    )
    left = moved.scope
    moved.__dict__["scope"] = kept
    for child in moved._state.children.values():
        if isinstance(child, Module) and child.scope is not None and child.scope.parent == left:
            if isinstance(child.scope.name, str):
                kept.reserve(child.scope.name)
            child.scope.parent = kept


def _is_above(upper: Scope, lower: Scope) -> bool:
    scope: Scope | None = lower
    while scope is not None:
        if scope is upper:
            return True
        scope = scope.parent
    return False


def merge_param(name: str, a: _T | None, b: _T | None) -> _T:
    """Return whichever of two values of an argument is not None.

    Args:
      name: name of the argument, for the error.
      a: the value given to the constructor.
      b: the value given to the call.

    Raises:
      ValueError: both are None, or neither is.

    Example:
      >>> merge_param("train", None, True)
      True
    """
    if (a is None) == (b is None):
        found = "neither" if a is None else "both"
        msg = f"The argument {name!r} must be given to either the constructor or the call: found {found}. Give it once."
        raise ValueError(msg)
    return b if a is None else a  # type: ignore[return-value]
