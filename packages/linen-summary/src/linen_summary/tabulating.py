"""`tabulate`: the summary as flax.linen prints it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from linen_core.filters import CollectionFilter
from linen_core.module import Module
from linen_core.typing import PRNGKey, RNGSequences
from linen_summary._rich_table import render
from linen_summary.summarizing import ALL_BUT_INTERMEDIATES, table_of_call

__all__ = ["tabulate"]


def tabulate(
    module: Module,
    rngs: PRNGKey | RNGSequences,
    depth: int | None = None,
    show_repeated: bool = False,
    mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
    console_kwargs: Mapping[str, Any] | None = None,
    table_kwargs: Mapping[str, Any] = MappingProxyType({}),
    column_kwargs: Mapping[str, Any] = MappingProxyType({}),
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    **kwargs: Any,
) -> Callable[..., str]:
    """Make a function that renders the summary of a module for some inputs.

    Args:
      module: the module.
      rngs: as for `Module.init`.
      depth: how many levels of submodules get rows; all if None.
      show_repeated: whether further calls of a module that has a row get rows too.
      mutable: which collections are made.
      console_kwargs: for `rich.console.Console`, for example ``{"width": 120}``. Unless they say otherwise the text
        has the escape codes of a terminal.
      table_kwargs: for `rich.table.Table`.
      column_kwargs: for each column of the table.
      compute_flops: whether to show the FLOPs of each row.
      compute_vjp_flops: whether to show the FLOPs of the vector-Jacobian product of each row.
      **kwargs: keyword arguments of the call, and ``method`` as for `Module.init`.

    Returns:
      A function of the inputs, arrays or `jax.ShapeDtypeStruct`, that returns the text.

    Example:
      >>> import jax, linen_core as nn
      >>> text = tabulate(nn.Dense(2), jax.random.key(0))(jax.numpy.ones((1, 3)))
      >>> "float32[3,2]" in text
      False
      >>> plain = {"force_terminal": False, "width": 80}
      >>> text = tabulate(nn.Dense(2), jax.random.key(0), console_kwargs=plain)(jax.numpy.ones((1, 3)))
      >>> "kernel: float32[3,2]" in text
      True
    """
    asked = {"flops": compute_flops, "vjp_flops": compute_vjp_flops}

    def tabulate_inputs(*call_args: Any, **call_kwargs: Any) -> str:
        table = table_of_call(
            module,
            rngs,
            call_args,
            {"mutable": mutable, **call_kwargs, **kwargs},
            depth=depth,
            show_repeated=show_repeated,
            measures=tuple(name for name, is_asked in asked.items() if is_asked),
            every_turn=False,
        )
        return render(table, console_kwargs, table_kwargs, column_kwargs)

    return tabulate_inputs
