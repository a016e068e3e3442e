"""Which modules a run calls, found abstractly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.module.interceptors import InterceptorContext, intercept_methods
from linen_core.typing import PRNGKey, RNGSequences

__all__ = ["find_module_paths"]


def find_module_paths(
    module: Any,
    rngs: PRNGKey | RNGSequences,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    mutable: CollectionFilter,
) -> dict[str, Any]:
    """Return unbound copies, without names, of the modules that ``module.init(rngs, *args, **kwargs)`` calls, by path.

    Without names a copy equals the module that was written down, and can be made a submodule elsewhere.
    """
    found: dict[str, Any] = {}

    def record(
        next_fun: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        context: InterceptorContext,
    ) -> Any:
        if context.method_name != "setup":
            path = "/".join(context.module.path)
            if path not in found:
                found[path] = None  # keeps the order of the calls
                result = next_fun(*args, **kwargs)
                found[path] = context.module.copy(parent=None)
                return result
        return next_fun(*args, **kwargs)

    with intercept_methods(record):
        eval_shape(module.init, rngs, *args, mutable=mutable, **kwargs)
    return found
