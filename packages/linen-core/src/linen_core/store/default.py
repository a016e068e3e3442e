"""What `init` and `apply` hand variables back in."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from linen_core._context import context_var

__all__ = ["default_store"]


class default_store:  # noqa: N801 - used like a function
    """Choose what `init` and `apply` hand back collections in.

    Takes effect at once, for the current thread or asyncio task; as a context manager only until the end of the
    `with` block.

    Args:
      factory: called with a plain nested dict of collections, returns what is handed back, for example
        `linen_store.FrozenDict`. None for the plain nested dict itself, which is the default.

    Raises:
      TypeError: ``factory`` cannot be called.

    Example:
      >>> import types, jax, linen_core as nn
      >>> with nn.default_store(types.MappingProxyType):
      ...     variables = nn.Dense(2).init(jax.random.key(0), jax.numpy.ones((1, 3)))
      >>> type(variables).__name__
      'mappingproxy'
    """

    def __init__(self, factory: Callable[[dict[str, Any]], Any] | None) -> None:
        if factory is not None and not callable(factory):
            msg = f"default_store expects a function of a nested dict, or None; found {factory!r}."
            raise TypeError(msg)
        self._previous = context_var.get().store_factory
        context_var.set(context_var.get()._replace(store_factory=factory))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        context_var.set(context_var.get()._replace(store_factory=self._previous))
