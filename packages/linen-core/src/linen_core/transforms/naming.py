"""`named_call`: a named scope around a function of a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from linen_core._context import context_var
from linen_core.module.base import Module
from linen_core.module.wrapping import method_label, method_name

__all__ = ["named_call"]


def named_call(class_fn: Callable[..., Any], force: bool = True) -> Callable[..., Any]:
    """Run a function of a module under a `jax.named_scope` with the names of the module and the function.

    Methods of modules have a named scope by default and do not need this decorator.

    Args:
      class_fn: a function whose first argument is a module.
      force: whether to enter the named scope even if named scopes are switched off.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> @nn.named_call
      ... def head(model, x):
      ...     return x * model.param("scale", nn.initializers.ones, ())
      >>> class Model(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return head(self, x)
      >>> program = jax.jit(Model().apply).lower({"params": {"scale": jnp.ones(())}}, jnp.ones(2))
      >>> "Model.head/mul" in program.as_text(debug_info=True)
      True
    """
    name = method_name(class_fn)

    @functools.wraps(class_fn)
    def wrapped(self: Module, *args: object, **kwargs: object) -> Any:
        if self._state.in_setup or not (force or context_var.get().named_calls):
            return class_fn(self, *args, **kwargs)
        return jax.named_call(class_fn, name=method_label(self, name))(self, *args, **kwargs)

    return wrapped
