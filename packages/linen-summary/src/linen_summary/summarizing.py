"""From a module and its inputs to a table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from linen_core.filters import CollectionFilter, DenyList
from linen_core.module import Module
from linen_core.typing import Path, PRNGKey, RNGSequences
from linen_summary._recording import Call, record_calls
from linen_summary._values import has_items, own_variables
from linen_summary.measuring import Meter
from linen_summary.table import Row, Table

__all__ = ["ALL_BUT_INTERMEDIATES", "summarize", "table_of_call"]

ALL_BUT_INTERMEDIATES = DenyList("intermediates")


def summarize(
    module: Module,
    rngs: PRNGKey | RNGSequences,
    *args: Any,
    depth: int | None = None,
    show_repeated: bool = False,
    mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    compute_macs: bool = False,
    compute_memory: bool = False,
    method: Callable[..., Any] | str | None = None,
    **kwargs: Any,
) -> Table:
    """Find what a module is made of, without running a FLOP or allocating an array.

    The rows stand in the order in which the calls of a run of `init` begin. Sizes count every variable once: in the
    row of the first call of its module or, where ``depth`` hides that, in the row of the nearest module above.

    Args:
      module: the module.
      rngs: as for `Module.init`; keys, or `jax.ShapeDtypeStruct` of keys.
      *args: arguments of the call; arrays, or `jax.ShapeDtypeStruct`.
      depth: how many levels of submodules get rows; all if None.
      show_repeated: whether further calls of a module that has a row get rows too.
      mutable: which collections are made.
      compute_flops: whether to count the FLOPs of each row, the body of a scan once for each turn.
      compute_vjp_flops: whether to count the FLOPs of the vector-Jacobian product of each row, likewise.
      compute_macs: whether to count the multiply-accumulate operations of each row.
      compute_memory: whether to estimate the memory that activations take in each row, in a forward run and in a
        training step.
      method: what is called, as for `Module.init`.
      **kwargs: keyword arguments of the call.

    Example:
      >>> import jax, jax.numpy as jnp, linen_core as nn
      >>> model = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])
      >>> x = jax.ShapeDtypeStruct((16, 9), jnp.float32)
      >>> for row in summarize(model, jax.random.key(0), x):
      ...     print(row.name or ".", row.module_type, row.outputs.shape, row.size)
      . Sequential (16, 2) 0
      layers_0 Dense (16, 4) 40
      layers_2 Dense (16, 2) 10
    """
    asked = {
        "flops": compute_flops,
        "vjp_flops": compute_vjp_flops,
        "macs": compute_macs,
        "activation_bytes": compute_memory,
        "training_bytes": compute_memory,
    }
    return table_of_call(
        module,
        rngs,
        args,
        {"mutable": mutable, "method": method, **kwargs},
        depth=depth,
        show_repeated=show_repeated,
        measures=tuple(name for name, is_asked in asked.items() if is_asked),
    )


def table_of_call(
    module: Module,
    rngs: PRNGKey | RNGSequences,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    depth: int | None,
    show_repeated: bool,
    measures: tuple[str, ...],
    every_turn: bool = True,
) -> Table:
    """Do what `summarize` does for a model whose arguments may have any names.

    Args:
      module: the module.
      rngs: as for `Module.init`.
      args: arguments of the call.
      kwargs: keyword arguments of `Module.init`, those of the call among them.
      depth: as for `summarize`.
      show_repeated: as for `summarize`.
      measures: names of the attributes of `Row` that are measured.
      every_turn: whether FLOPs count the body of a scan once for each turn, or once as XLA and flax count it.

    Example:
      >>> x = jax.ShapeDtypeStruct((16, 9), jnp.float32)
      >>> options = {"depth": None, "show_repeated": False, "measures": ("macs",)}
      >>> table_of_call(nn.Dense(4), jax.random.key(0), (x,), {}, **options).total("macs")
      576
    """
    calls, variables = record_calls(module, rngs, args, kwargs)
    shown, hidden = _rows(calls, variables, depth, show_repeated)
    meter = Meter(every_turn=every_turn)
    rows = [_measured(row, meter.measure(call, measures)) for call, row in shown]
    return Table(
        module,
        tuple(variables),
        (*_uncalled_root(module, variables, rows, measures), *rows),
        measures,
        hidden,
        title=f"{type(module).__name__} Summary",
    )


def _rows(
    calls: list[Call], variables: dict[str, Any], depth: int | None, show_repeated: bool
) -> tuple[list[tuple[Call, Row]], int]:
    """Make a row of each call that is to have one, and count the others of modules that are shown."""
    times = Counter(call.path for call in calls if call.is_method)
    shown = frozenset(path for path in times if depth is None or len(path) <= depth)
    seen: set[Path] = set()
    rows: list[tuple[Call, Row]] = []
    hidden = 0
    for call in calls:
        repeated = call.path in seen or not call.is_method
        if repeated and not show_repeated:
            hidden += call.is_method
            continue
        if not repeated:
            if call.path not in shown:
                continue
            seen.add(call.path)
        row = Row(
            path=call.path,
            module_copy=call.module,
            method=call.method,
            inputs=_inputs(call),
            outputs=call.outputs,
            module_variables={} if repeated else own_variables(call.path, variables, times),
            counted_variables={} if repeated else own_variables(call.path, variables, shown),
            index=call.index,
            calls=times[call.path],
            repeated=repeated,
        )
        rows.append((call, row))
    return rows, hidden


def _measured(row: Row, found: Mapping[str, int | str]) -> Row:
    numbers: dict[str, Any] = {name: n for name, n in found.items() if isinstance(n, int)}
    unknown = {name: why for name, why in found.items() if isinstance(why, str)}
    return dataclasses.replace(row, **numbers, unknown=unknown)


def _inputs(call: Call) -> Any:
    if not call.kwargs:
        return call.args[0] if len(call.args) == 1 else call.args
    return (*call.args, call.kwargs) if call.args else call.kwargs


def _uncalled_root(
    module: Module, variables: dict[str, Any], rows: list[Row], measures: tuple[str, ...]
) -> list[Row]:
    """Make a row for the variables that no other row counts, where no method of the root was called."""
    owners = {row.path for row in rows}
    rest = own_variables((), variables, owners)
    if () in owners or not any(has_items(collection) for collection in rest.values()):
        return []
    unknown = dict.fromkeys(measures, "no method of it was called.")
    return [Row((), module.clone(), "", (), None, rest, rest, index=-1, calls=0, unknown=unknown)]
