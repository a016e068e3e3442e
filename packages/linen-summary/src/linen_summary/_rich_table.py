"""The table that `tabulate` prints."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import rich.console
import rich.table
import rich.text
from rich.markup import escape

from linen_core.meta import Partitioned
from linen_summary._cells import Cell
from linen_summary._formats import unknown_notes
from linen_summary._layout import Layout, hanging, one_line
from linen_summary._values import array_text, bytes_text
from linen_summary._yaml import explicit_key, key_text, text_lines
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
    """Render a table as text with the escape codes of a terminal, and under it why numbers are unknown.

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
    for row in table:
        for note in unknown_notes(row):
            console.print(rich.text.Text(note))
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
        made.add_column(escape(name), **column_kwargs)
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
        "inputs": lambda row: _CELLS.write(row.inputs),
        "outputs": lambda row: _CELLS.write(row.outputs),
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
        variables = _CELLS.write(row.module_variables.get(name))
        gap = "\n\n" if variables else ""
        cells.append(f"{variables}{gap}[bold]{_size_text(size, total_bytes)}[/bold]")
    return cells


def _size_text(size: int, total_bytes: int) -> str:
    return f"{size:,} [dim]({bytes_text(total_bytes)})[/dim]" if size else ""


class _CellLayout(Layout):
    """Writes cells as flax does: in YAML, without its single quotation marks, and with markup of rich."""

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        if isinstance(value, jax.ShapeDtypeStruct | Partitioned):
            return _unquoted(text_lines(_array_markup(value), column, margin))
        return _shown(text_lines(repr(value), column, margin))

    def key_text(self, key: Any) -> tuple[str, int]:
        text = key_text(key)
        return "\n".join(_shown([text])), len(text)

    def item_lines(self, key: Any, item: Any, margin: int) -> Sequence[str]:
        if not explicit_key(key):
            return super().item_lines(key, item, margin)
        place = margin + 2
        return [
            *hanging("? ", _KEYS.lines(key, place, place)),
            *hanging(": ", self.lines(item, place, place)),
        ]


class _KeyLayout(_CellLayout):
    """Writes keys that are containers, or long texts."""

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        is_text = isinstance(value, str)
        return _shown(text_lines(value, column, margin) if is_text else [key_text(value)])


_CELLS = _CellLayout()
_KEYS = _KeyLayout()


def _array_markup(value: jax.ShapeDtypeStruct | Partitioned[Any]) -> str:
    if isinstance(value, Partitioned):
        inner = value.value
        is_array = isinstance(inner, jax.ShapeDtypeStruct)
        text = _array_markup(inner) if is_array else escape(one_line(inner))
        return f"{text} [dim]P[/dim]{escape(str(value.names))}"
    dtype, shape = array_text(value)
    return f"[dim]{dtype}[/dim]{shape}"


def _unquoted(lines: Sequence[str]) -> list[str]:
    return [line.replace("'", "") for line in lines]


def _shown(lines: Sequence[str]) -> list[str]:
    """Keep rich from reading markup in what a user wrote."""
    text = "\n".join([*_unquoted(lines), ""])  # `escape` doubles a backslash at the very end
    return escape(text).split("\n")[:-1]
