"""`default_store`: the type of the collections that `init` and `apply` return."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from linen_core._context import context_var

__all__ = ["default_store"]


class default_store:  # noqa: N801 - used like a function
    """Choose the type of the collections that `init` and `apply` return.

    Takes effect immediately, for the current thread or asyncio task. As a context manager it ends with the `with`
    block.

    Args:
      factory: converts a plain nested dict of collections, for example `linen_store.FrozenDict`. None, the default,
        returns the plain dict.

    Raises:
      TypeError: ``factory`` is not callable.

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
