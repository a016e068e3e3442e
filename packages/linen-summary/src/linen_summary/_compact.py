"""The table as a `Table` shows itself: one line for each row, readable at 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from linen_summary._layout import one_line
from linen_summary._values import bytes_text

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = ["compact"]


def compact(table: Table) -> Group:
    """Lay out the table for rich: long names are cut, numbers never, and nothing is left out without a word."""
    made = RichTable(title=table.title, show_footer=True, title_justify="left", expand=False)
    made.add_column("module", "Total")
    made.add_column("outputs")
    for name, (size, _) in table.totals().items():
        made.add_column(name, f"{size:,}", no_wrap=True, justify="right")
    made.add_column("bytes", bytes_text(table.bytes), no_wrap=True, justify="right")
    flops = {"flops": table.has_flops, "vjp_flops": table.has_vjp_flops}
    for name, has in flops.items():
        if has:
            total = _number(getattr(table, name))
            made.add_column(name.replace("_", " "), total, no_wrap=True, justify="right")
    for row in table:
        made.add_row(*_cells(row, table))
    return Group(made, *(Text(note, style="italic") for note in _notes(table)))


def _cells(row: Row, table: Table) -> list[Text | str]:
    sizes = [size for size, _ in row.size_and_bytes(table.collections).values()]
    cells: list[Text | str] = [
        _cut("  " * len(row.path) + _name(row)),
        _cut(one_line(row.outputs)),
        *(f"{size:,}" if size else "" for size in sizes),
        bytes_text(row.bytes) if row.bytes else "",
    ]
    cells += [_number(row.flops)] if table.has_flops else []
    return cells + ([_number(row.vjp_flops)] if table.has_vjp_flops else [])


def _cut(text: str) -> Text:
    """Make a cell that is cut where it does not fit."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _name(row: Row) -> str:
    """Name a module within its parent, with its class where the name does not say it."""
    name = row.path[-1] if row.path else row.module_type
    kind = "" if name.startswith(row.module_type) else f" ({row.module_type})"
    method = "" if row.method in ("", "__call__") else f".{row.method}"
    return name + kind + method


def _number(flops: int | None) -> str:
    """Write a number of FLOPs with three digits and a unit of powers of 1000."""
    if flops is None:
        return "unknown"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if flops >= size:
            return (
                f"{flops / size:.3g} {unit}"
                if flops < 999.5 * size
                else f"{flops / size:.0f} {unit}"
            )
    return str(flops)


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
        for what, note in (("FLOPs", row.flops_note), ("VJP FLOPs", row.vjp_flops_note)):
            if note:
                notes.append(f"{what} of {row.name or type(table.module).__name__}: {note}")
    return notes
