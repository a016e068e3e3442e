"""The modules whose methods run, as programs written for flax look them up."""

from __future__ import annotations

from typing import Any

from linen_core._context import current_context

__all__ = ["CallStack", "call_stack"]


class CallStack:
    """A view of the context under flax's names; reading it is all that it is for."""

    @property
    def module_stack(self) -> list[Any]:
        """The module whose method runs innermost, last; before it None, which stands for being outside of modules.

        Example:
          >>> import jax, linen_core as nn
          >>> class Model(nn.Module):
          ...     def __call__(self):
          ...         return nn.module._context.module_stack[-1] is self
          >>> Model().apply({}), nn.module._context.module_stack
          (True, [None])
        """
        module = current_context().module
        return [None] if module is None else [None, module]


call_stack = CallStack()
