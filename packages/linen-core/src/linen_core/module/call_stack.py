"""The stack of running modules, under the names that flax programs use."""

from __future__ import annotations

from typing import Any

from linen_core._context import context_var

__all__ = ["CallStack", "call_stack"]


class CallStack:
    """A read-only view of the context under flax's names."""

    @property
    def module_stack(self) -> list[Any]:
        """None, followed by the module whose method runs, if any.

        Example:
          >>> import jax, linen_core as nn
          >>> class Model(nn.Module):
          ...     def __call__(self):
          ...         return nn.module._context.module_stack[-1] is self
          >>> Model().apply({}), nn.module._context.module_stack
          (True, [None])
        """
        module = context_var.get().module
        return [None] if module is None else [None, module]


call_stack = CallStack()
