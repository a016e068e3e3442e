"""Inspection of modules: their text form, the modules that a run calls, and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from linen_core._lazy_names import import_optional
from linen_core.abstract import eval_shape
from linen_core.filters import CollectionFilter
from linen_core.module.functional import ALL_BUT_INTERMEDIATES
from linen_core.module.interceptors import InterceptorContext, intercept_methods
from linen_core.module.state import ModuleBase
from linen_core.module.variables import ModuleVariables
from linen_core.module.wrapping import checked_on_instance
from linen_core.typing import PRNGKey, RNGSequences

__all__ = ["ModuleInspection"]

_INDENT = 4


class ModuleInspection(ModuleVariables):
    """The methods of `Module` that show a module and its calls."""

    def __repr__(self) -> str:
        return _represent(self)

    @checked_on_instance
    def module_paths(
        self,
        rngs: PRNGKey | RNGSequences,
        *args: object,
        show_repeated: bool = False,
        mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
        **kwargs: object,
    ) -> dict[str, Any]:
        """Find the modules that a run of `init` calls, without running a FLOP.

        Args:
          rngs: as for `init`.
          *args: arguments for the forward pass; shapes suffice.
          show_repeated: whether later calls of a module count too.
          mutable: the collections that are created.
          **kwargs: keyword arguments for the forward pass.

        Returns:
          Unbound copies of the modules, without names, by path, joined with "/", in the order of their first calls;
          the module itself at "".

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> model = nn.Sequential([nn.Dense(2), nn.relu, nn.Dense(1)])
          >>> list(model.module_paths(jax.random.key(0), jnp.ones((1, 3))))
          ['', 'layers_0', 'layers_2']
        """
        return _find_module_paths(self, rngs, args, kwargs, mutable)

    def tabulate(
        self,
        rngs: PRNGKey | RNGSequences,
        *args: object,
        depth: int | None = None,
        show_repeated: bool = False,
        mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
        console_kwargs: Mapping[str, Any] | None = None,
        table_kwargs: Mapping[str, Any] = MappingProxyType({}),
        column_kwargs: Mapping[str, Any] = MappingProxyType({}),
        compute_flops: bool = False,
        compute_vjp_flops: bool = False,
        **kwargs: object,
    ) -> str:
        """Render a table of the modules, their inputs, outputs and variables. Needs the package linen-summary.

        Args:
          rngs: as for `init`.
          *args: arguments for the forward pass; shapes suffice.
          depth: how many levels of submodules to show; all if None.
          show_repeated: whether to show further calls of the same module.
          mutable: the collections that are created.
          console_kwargs: for `rich.console.Console`.
          table_kwargs: for `rich.table.Table`.
          column_kwargs: for each column of the table.
          compute_flops: whether to show the FLOPs of the forward pass, with one turn of each loop.
          compute_vjp_flops: whether to show the FLOPs of its vector-Jacobian product.
          **kwargs: keyword arguments for the forward pass.

        Raises:
          ImportError: linen-summary is not installed.

        Example:
          >>> import jax, jax.numpy as jnp, linen_core as nn
          >>> table = nn.Dense(2).tabulate(jax.random.key(0), jnp.ones((1, 3)))
          >>> "Total Parameters: 8" in table
          True
        """
        tabulate = import_optional("linen_summary", "tabulate")
        return tabulate(  # type: ignore[no-any-return]
            self,
            rngs,
            depth=depth,
            show_repeated=show_repeated,
            mutable=mutable,
            console_kwargs=console_kwargs,
            table_kwargs=table_kwargs,
            column_kwargs=column_kwargs,
            compute_flops=compute_flops,
            compute_vjp_flops=compute_vjp_flops,
        )(*args, **kwargs)


def _represent(module: ModuleBase) -> str:
    """Render a module with its fields and, where it is bound, the submodules it has made so far."""
    try:
        fields = dataclasses.fields(module)
    except TypeError:
        return object.__repr__(module)
    lines: list[str] = []
    shown = [field.name for field in fields if field.repr and field.name not in ("parent", "name")]
    if shown:
        lines.append("# attributes")
        lines += [f"{name} = {_represent_value(module.__dict__.get(name))}" for name in shown]
    children = {
        name: child
        for name, child in module._state.children.items()
        if isinstance(child, ModuleBase)
    }
    if children:
        lines.append("# children")
        lines += [f"{name} = {_represent(child)}" for name, child in children.items()]
    title = type(module).__name__
    if not lines:
        return f"{title}()"
    body = "\n".join(lines).split("\n")
    return "\n".join([f"{title}(", *(" " * _INDENT + line for line in body), ")"])


def _represent_value(value: object) -> str:
    if callable(value):
        own = value.__dict__ if isinstance(value, ModuleBase) else None
        name = own.get("__name__") if own is not None else getattr(value, "__name__", None)
        if name:
            return str(name)
    return repr(value)


def _find_module_paths(
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
