"""The table that `tabulate` prints."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import Any

import jax
import rich.console
import rich.table
import rich.text
from rich.markup import escape

from linen_core.meta import Partitioned
from linen_summary._cells import Cell
from linen_summary._layout import lay_out
from linen_summary._values import array_text, bytes_text
from linen_summary.table import Row, Table

__all__ = ["UNKNOWN", "render"]

UNKNOWN = "unknown"
"""What is shown for FLOPs that could not be counted."""

_UNNAMED_METHODS = ("__call__", "<lambda>", "")


def render(
    table: Table,
    console_kwargs: Mapping[str, Any] | None = None,
    table_kwargs: Mapping[str, Any] | None = None,
    column_kwargs: Mapping[str, Any] | None = None,
) -> str:
    """Render a table as text with the escape codes of a terminal.

    Args:
      table: the table.
      console_kwargs: for `rich.console.Console`.
      table_kwargs: for `rich.table.Table`.
      column_kwargs: for each column.
    """
    output = io.StringIO()
    options = {"force_terminal": True, "force_jupyter": False, **(console_kwargs or {})}
    console = rich.console.Console(file=output, **options)
    console.print(_rich_table(table, table_kwargs or {}, column_kwargs or {}))
    return f"\n{output.getvalue()}\n"


def _rich_table(
    table: Table, table_kwargs: Mapping[str, Any], column_kwargs: Mapping[str, Any]
) -> rich.table.Table:
    made = rich.table.Table(
        show_header=True,
        show_lines=True,
        show_footer=True,
        title=table.title,
        **table_kwargs,
    )
    columns = _columns(table)
    for name in (*columns, *table.collections):
        made.add_column(name, **column_kwargs)
    cell = functools.cache(Cell)
    for row in table:
        texts = (text(row) for text in columns.values())
        made.add_row(*map(cell, (*texts, *_variable_cells(row, table))))
    totals = table.totals()
    made.columns[len(columns) - 1].footer = rich.text.Text("Total", justify="right")
    for column, name in zip(made.columns[len(columns) :], table.collections, strict=True):
        column.footer = _size_text(*totals[name])
    size, total_bytes = (sum(numbers) for numbers in zip((0, 0), *totals.values(), strict=True))
    made.caption = f"\nTotal Parameters: {_size_text(size, total_bytes)}"
    made.caption_style = "bold"
    return made


def _columns(table: Table) -> dict[str, Callable[[Row], str]]:
    columns: dict[str, Callable[[Row], str]] = {
        "path": lambda row: escape(row.name),
        "module": _module_text,
        "inputs": lambda row: lay_out(row.inputs, _value_text),
        "outputs": lambda row: lay_out(row.outputs, _value_text),
    }
    if table.has_flops:
        columns["flops"] = lambda row: _flops_text(row.flops)
    if table.has_vjp_flops:
        columns["vjp_flops"] = lambda row: _flops_text(row.vjp_flops)
    return columns


def _module_text(row: Row) -> str:
    method = "" if row.method in _UNNAMED_METHODS else f" [dim]({escape(row.method)})[/dim]"
    return row.module_type + method


def _flops_text(flops: int | None) -> str:
    return UNKNOWN if flops is None else str(flops)


def _variable_cells(row: Row, table: Table) -> list[str]:
    cells = []
    for name, (size, total_bytes) in row.size_and_bytes(table.collections).items():
        variables = lay_out(row.module_variables.get(name), _value_text)
        gap = "\n\n" if variables else ""
        cells.append(f"{variables}{gap}[bold]{_size_text(size, total_bytes)}[/bold]")
    return cells


def _size_text(size: int, total_bytes: int) -> str:
    return f"{size:,} [dim]({bytes_text(total_bytes)})[/dim]" if size else ""


def _value_text(value: Any) -> str:
    if isinstance(value, jax.ShapeDtypeStruct):
        dtype, shape = array_text(value)
        return f"[dim]{dtype}[/dim]{shape}"
    if isinstance(value, Partitioned):
        return f"{lay_out(value.value, _value_text)} [dim]P[/dim]{value.names}"
    return escape(repr(value))
