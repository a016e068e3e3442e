"""The dynamic context: the state around a call that is not passed as an argument.

The one ContextVar of the package holds it as an immutable record. Entering a block replaces the record, and leaving the
block restores the old one, after an exception too. Threads and asyncio tasks each have their own.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = [
    "Context",
    "context_var",
    "replaced_context",
]


class Context(NamedTuple):
    """The state around a call."""

    module: Any = None
    """The module whose method runs: the parent of modules created now. None outside modules."""

    interceptors: tuple[Callable[..., Any], ...] = ()
    """The interceptors registered by `intercept_methods`, outermost first."""

    capture: Callable[[Any, str], bool] | None = None
    """Selects the methods whose outputs go to the collection 'intermediates'."""

    named_calls: bool = True
    """True if methods run under `jax.named_scope`."""

    store_factory: Callable[[dict[str, Any]], Any] | None = None
    """Converts the collections that `init` and `apply` return; None for plain dicts."""

    axis_rules: Sequence[tuple[str, Any]] = ()
    """Rules from logical axis names to mesh axes."""

    labelled: Any = None
    """The module whose name is already the innermost `jax.named_scope`."""

    only_shapes: bool = False
    """True if only shapes and dtypes of the results are used. `init` then need not find out how to draw variables."""

    keeps_adopted_names: bool = False
    """True if a module that is made outside keeps its name in the module whose attribute it becomes."""

    separates_rng_names: bool = False
    """True if RNG streams fold in a separator before each name and counter."""


context_var: contextvars.ContextVar[Context] = contextvars.ContextVar(
    "linen",
    default=Context(),  # noqa: B039 - a NamedTuple of immutable values
)


@contextlib.contextmanager
def replaced_context(**fields: Any) -> Iterator[None]:
    """Replace fields of the context inside a `with` block."""
    token = context_var.set(context_var.get()._replace(**fields))
    try:
        yield
    finally:
        context_var.reset(token)
