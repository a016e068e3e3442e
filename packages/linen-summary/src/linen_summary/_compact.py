"""The table as a `Table` shows itself: one line for each row, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.typing import Path
from linen_summary._formats import ESTIMATES
from linen_summary._layout import one_line
from linen_summary._values import bytes_text, short_number

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = ["compact"]


_NAMES = {
    "flops": "FLOPs",
    "vjp_flops": "VJP FLOPs",
    "macs": "MACs",
    "activation_bytes": "Activation memory",
    "training_bytes": "Activation memory in training",
}
_ESTIMATED = (
    "Estimates of activation memory, from the trace: every result is stored until its last use."
)
_HEADERS = {
    "vjp_flops": "vjp flops",
    "macs": "MACs",
    "activation_bytes": "forward\nestimate",
    "training_bytes": "training\nestimate",
}


def compact(table: Table) -> Group:
    """Lay out the table for rich: long names are cut, numbers never, and nothing is left out without a word."""
    made = RichTable(title=table.title, show_footer=True, title_justify="left", expand=False)
    made.add_column("module" if table.module is not None else "path", "Total")
    if table.module is not None:
        made.add_column("outputs")
    for name, (size, _) in table.totals().items():
        made.add_column(name, f"{size:,}", no_wrap=True, justify="right")
    made.add_column("bytes", bytes_text(table.bytes), no_wrap=True, justify="right")
    for name in table.measures:
        total = _measure_text(name, table.total(name))
        made.add_column(_HEADERS.get(name, name), total, no_wrap=True, justify="right")
    paths = {row.path for row in table}
    for row in table:
        made.add_row(*_cells(row, table, paths))
    return Group(made, *(Text(note, style="italic") for note in _notes(table)))


def _cells(row: Row, table: Table, paths: Container[Path]) -> list[Text | str]:
    sizes = [size for size, _ in row.size_and_bytes(table.collections).values()]
    return [
        _cut(_name(row, paths)),
        *([_cut(one_line(row.outputs))] if table.module is not None else []),
        *(f"{size:,}" if size else "" for size in sizes),
        bytes_text(row.bytes) if row.bytes else "",
        *(_measure_text(name, getattr(row, name)) for name in table.measures),
    ]


def _measure_text(name: str, number: int | None) -> str:
    if number is None:
        return "unknown"
    return bytes_text(number) if name.endswith("bytes") else short_number(number)


def _cut(text: str) -> Text:
    """Make a cell that is cut where it does not fit."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _name(row: Row, paths: Container[Path]) -> str:
    """Name a module below the nearest that has a row, with its class where the name does not say it."""
    above = [length for length in range(len(row.path)) if row.path[:length] in paths]
    name = "/".join(row.path[above[-1] if above else 0 :]) or row.module_type or "."
    last = row.path[-1] if row.path else name
    kind = "" if last.startswith(row.module_type) else f" ({row.module_type})"
    method = "" if row.method in ("", "__call__") else f".{row.method}"
    return "  " * len(above) + name + kind + method


def _notes(table: Table) -> list[str]:
    notes = []
    if table.hidden_calls:
        calls = "call" if table.hidden_calls == 1 else "calls"
        notes.append(
            f"{table.hidden_calls} further {calls} of modules above: show_repeated=True shows them."
        )
    for row in table:
        if row.repeated:
            notes.append(f"{row.name or '.'}, call {row.index}: its variables are counted above.")
        for name, why in row.unknown.items():
            notes.append(f"{_NAMES[name]} of {row.name or row.module_type}: {why}")
    if any(name in ESTIMATES for name in table.measures):
        notes.append(_ESTIMATED)
    return notes
