"""The dynamic context: what surrounds a call without being passed to it.

It lives in the one ContextVar of the package, as an immutable record. Entering something replaces the record
and leaving it puts the old one back, so that nothing leaks out of an exception, and threads and asyncio
tasks never see each other's.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Context",
    "context_var",
    "current_context",
    "replaced_context",
]


class Context(NamedTuple):
    """What surrounds a call."""

    module: Any = None
    """The module whose method runs innermost: the parent of a module made now. None outside of modules."""

    interceptors: tuple[Callable[..., Any], ...] = ()
    """What `intercept_methods` registered, outermost first."""

    capture: Callable[[Any, str], bool] | None = None
    """Which methods' outputs go to the collection 'intermediates'."""

    named_calls: bool = True
    """Whether methods run under `jax.named_scope`."""

    store_factory: Callable[[dict[str, Any]], Any] | None = None
    """What `init` and `apply` hand back collections in; plain dicts if None."""

    axis_rules: Sequence[tuple[str, Any]] = ()
    """Rules from logical axis names to mesh axes."""

    labelled: Any = None
    """The module whose name the `jax.named_scope` around this code already gives."""

    def inside(self, module: object) -> Context:
        """Return what surrounds the code of a method of a module; everything but the module is as here."""
        return Context(module, *self[1:])


context_var: contextvars.ContextVar[Context] = contextvars.ContextVar(
    "linen",
    default=Context(),  # noqa: B039 - a NamedTuple of immutable values
)


def current_context() -> Context:
    """Return what surrounds the code that runs now."""
    return context_var.get()


@contextlib.contextmanager
def replaced_context(**fields: Any) -> Iterator[None]:
    """Replace fields of the context inside a `with` block."""
    token = context_var.set(context_var.get()._replace(**fields))
    try:
        yield
    finally:
        context_var.reset(token)
