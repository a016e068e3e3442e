"""Where a call is made, and what surrounds it: what a trace that is to serve several calls must not depend on."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator
from typing import Any

from linen_core._context import PlaceWatch, current_context, replaced_context
from linen_core.module.state import ModuleBase
from linen_core.typing import Path

__all__ = ["PlaceWatch", "place_of", "surroundings", "watch_place"]


@contextlib.contextmanager
def watch_place() -> Iterator[PlaceWatch]:
    """Note whether modules that are called inside a `with` block ask for their names or paths.

    A call that does not gives the same result wherever its module stands in a tree of modules.

    Returns:
      A `PlaceWatch`, whose `place_was_read` tells.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> class Labelled(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return nn.Dense(1, use_bias=self.name != "plain")(x)
      >>> for module in nn.Dense(1), Labelled():
      ...     with watch_place() as watch:
      ...         y = module.init_with_output(jax.random.key(0), jnp.ones(3))
      ...     print(watch.place_was_read)
      False
      True
    """
    watch = PlaceWatch(current_context().watch)
    with replaced_context(watch=watch):
        yield watch


def place_of(module: ModuleBase) -> Path | None:
    """Return the path of a module, without this being noted: for interceptors, which are no part of what is watched.

    Returns:
      The names from the root to the module; None for a module that is not bound.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> def show(next_fun, args, kwargs, context):
      ...     print(place_of(context.module))
      ...     return next_fun(*args, **kwargs)
      >>> with nn.intercept_methods(show), watch_place() as watch:
      ...     y = nn.Dense(1).init_with_output(jax.random.key(0), jnp.ones(3))
      ()
      >>> watch.place_was_read
      False
    """
    return None if module.scope is None else module.scope._path


def surroundings() -> Hashable:
    """Describe what surrounds a call and may change what it does, by a value that is equal where this is equal.

    These are the interceptors, which outputs are captured, the rules for logical axes, whether named scopes are on,
    and what collections are handed back in.

    Example:
      >>> import linen_core as nn
      >>> before = surroundings()
      >>> with nn.intercept_methods(lambda next_fun, args, kwargs, context: next_fun(*args, **kwargs)):
      ...     surroundings() == before
      False
      >>> surroundings() == before
      True
    """
    context = current_context()
    rules = _as_tuples(context.axis_rules)
    return context._replace(module=None, axis_rules=rules, watch=None, labelled=None)


def _as_tuples(rules: Any) -> Any:
    return tuple(map(_as_tuples, rules)) if isinstance(rules, list | tuple) else rules
