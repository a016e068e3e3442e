"""Builds the table of a module from one abstract run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from linen_core.filters import CollectionFilter, DenyList
from linen_core.module import Module
from linen_core.typing import Path, PRNGKey, RNGSequences
from linen_summary.costs.meter import Meter, split_arguments
from linen_summary.recording.calls import Call, record_calls
from linen_summary.table.data import Row
from linen_summary.table.table import Table

__all__ = ["ALL_BUT_INTERMEDIATES", "own_variables", "summarize", "table_of_call"]

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
    """Summarise a module, without running a FLOP or allocating an array.

    The rows are in the order in which calls begin in a run of `init`. Sizes count every variable once: in the row of
    the first call of its module or, if ``depth`` hides that row, in the row of the nearest module above.

    Args:
      module: the module.
      rngs: as for `Module.init`. Keys, or `jax.ShapeDtypeStruct` of keys.
      *args: arguments of the call. Arrays, or `jax.ShapeDtypeStruct`.
      depth: number of levels of submodules that get rows; all if None.
      show_repeated: whether further calls of a module with a row get rows too.
      mutable: the collections to initialise.
      compute_flops: whether to count the FLOPs of each row. The body of a scan counts once for each iteration.
      compute_vjp_flops: whether to count the FLOPs of the vector-Jacobian product of each row, likewise.
      compute_macs: whether to count the multiply-accumulate operations of each row.
      compute_memory: whether to estimate the memory that activations need in each row, in a forward run and in a
        training step.
      method: the method to call, as for `Module.init`.
      **kwargs: keyword arguments of the call, and arguments of further measures.

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
    flags = {
        "compute_flops": compute_flops,
        "compute_vjp_flops": compute_vjp_flops,
        "compute_macs": compute_macs,
        "compute_memory": compute_memory,
    }
    measures, call_kwargs = split_arguments({**flags, **kwargs})
    return table_of_call(
        module,
        rngs,
        args,
        {"mutable": mutable, "method": method, **call_kwargs},
        depth=depth,
        show_repeated=show_repeated,
        measures=measures,
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
    every_iteration: bool = True,
) -> Table:
    """Summarise a module whose arguments may have the same names as those of `summarize`.

    Args:
      module: the module.
      rngs: as for `Module.init`.
      args: arguments of the call.
      kwargs: keyword arguments of `Module.init`, which include those of the call.
      depth: as for `summarize`.
      show_repeated: as for `summarize`.
      measures: names of the measures to compute.
      every_iteration: whether FLOPs count the body of a scan once for each iteration, or once as XLA and flax do.

    Example:
      >>> x = jax.ShapeDtypeStruct((16, 9), jnp.float32)
      >>> options = {"depth": None, "show_repeated": False, "measures": ("macs",)}
      >>> table_of_call(nn.Dense(4), jax.random.key(0), (x,), {}, **options).total("macs")
      576
    """
    calls, variables = record_calls(module, rngs, args, kwargs)
    shown, hidden = _calls_with_rows(calls, depth, show_repeated)
    times = Counter(call.path for call in calls if call.is_method)
    owners = {call.path for call, repeated in shown if not repeated}
    meter = Meter(every_iteration=every_iteration)
    rows = []
    for call, repeated in shown:
        results = meter.measure(call, measures)
        row = Row(
            path=call.path,
            module_copy=call.module,
            method=call.method,
            inputs=_inputs(call),
            outputs=call.outputs,
            module_variables={} if repeated else own_variables(call.path, variables, times),
            counted_variables={} if repeated else own_variables(call.path, variables, owners),
            index=call.index,
            calls=times[call.path],
            repeated=repeated,
            numbers={name: n for name, n in results.items() if isinstance(n, int)},
            unknown={name: why for name, why in results.items() if isinstance(why, str)},
        )
        rows.append(row)
    return Table(
        module,
        tuple(variables),
        (*_uncalled_root(module, variables, rows, measures), *rows),
        measures,
        hidden,
        title=f"{type(module).__name__} Summary",
    )


def _calls_with_rows(
    calls: list[Call], depth: int | None, show_repeated: bool
) -> tuple[list[tuple[Call, bool]], int]:
    """Return the calls that get rows, each with whether its module has an earlier row, and count repeated others."""
    seen: set[Path] = set()
    shown = []
    hidden = 0
    for call in calls:
        repeated = call.path in seen or not call.is_method
        if repeated and not show_repeated:
            hidden += call.is_method
        elif repeated or depth is None or len(call.path) <= depth:
            shown.append((call, repeated))
            if not repeated:
                seen.add(call.path)
    return shown, hidden


def _inputs(call: Call) -> Any:
    if not call.kwargs:
        return call.args[0] if len(call.args) == 1 else call.args
    return (*call.args, call.kwargs) if call.args else call.kwargs


def _uncalled_root(
    module: Module, variables: dict[str, Any], rows: list[Row], measures: tuple[str, ...]
) -> list[Row]:
    """Return a row for the variables that no other row counts, if no method of the root was called."""
    owners = {row.path for row in rows}
    rest = own_variables((), variables, owners)
    if () in owners or not any(_has_items(collection) for collection in rest.values()):
        return []
    unknown = dict.fromkeys(measures, "no method of it was called.")
    return [Row((), module.clone(), "", (), None, rest, rest, index=-1, calls=0, unknown=unknown)]


def own_variables(
    path: Path, variables: Mapping[str, Any], owners: Collection[Path]
) -> dict[str, Any]:
    """Return the variables at a path by collection, without those at the paths of other owners below it."""
    found = {}
    for name, collection in variables.items():
        node = collection
        for part in path:
            if not isinstance(node, Mapping) or part not in node:
                break
            node = node[part]
        else:
            found[name] = _without_owned(path, node, owners)
    return found


def _without_owned(path: Path, node: Any, owners: Collection[Path]) -> Any:
    if not isinstance(node, Mapping):
        return node
    kept = {}
    for name, child in node.items():
        below = (*path, name)
        if below in owners and isinstance(child, Mapping):
            continue
        rest = _without_owned(below, child, owners)
        if _has_items(rest) or not _has_items(child):
            kept[name] = rest
    return kept


def _has_items(tree: Any) -> bool:
    """Return whether nested mappings contain more than empty mappings."""
    return not isinstance(tree, Mapping) or any(map(_has_items, tree.values()))
