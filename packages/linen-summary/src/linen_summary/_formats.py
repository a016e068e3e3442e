"""The table in formats that other programs read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from linen_summary._grids import csv_text, html_text, markdown_text
from linen_summary._layout import Layout, plain, plain_text

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = [
    "ESTIMATES",
    "to_csv",
    "to_dict",
    "to_html",
    "to_json",
    "to_markdown",
]

ESTIMATES = ("activation_bytes", "training_bytes")
"""Measures that are estimates, and are called so wherever they are shown."""


def to_dict(table: Table) -> dict[str, Any]:
    """Return the table as dicts, lists, strings, numbers, booleans and None."""
    made = {
        "title": table.title,
        "module": None if table.module is None else type(table.module).__name__,
        "collections": list(table.collections),
        "rows": [_row_dict(row, table) for row in table],
        "totals": {
            "size": {name: size for name, (size, _) in table.totals().items()},
            "bytes": {name: number for name, (_, number) in table.totals().items()},
            **{name: table.total(name) for name in table.measures},
        },
        "hidden_calls": table.hidden_calls,
    }
    estimated = [name for name in table.measures if name in ESTIMATES]
    return {**made, "estimated": estimated} if estimated else made


def _row_dict(row: Row, table: Table) -> dict[str, Any]:
    counts = row.size_and_bytes(table.collections)
    made = {
        "path": row.name,
        "module": row.module_type,
        "method": row.method,
        "calls": row.calls,
        "repeated": row.repeated,
        "inputs": _jsonable(plain(row.inputs)),
        "outputs": _jsonable(plain(row.outputs)),
        "variables": _jsonable(plain(row.module_variables)),
        "size": {name: size for name, (size, _) in counts.items()},
        "bytes": {name: number for name, (_, number) in counts.items()},
        **{name: getattr(row, name) for name in table.measures},
    }
    return {**made, "unknown": dict(row.unknown)} if row.unknown else made


def _jsonable(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _jsonable(item) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [_jsonable(item) for item in tree]
    is_number = isinstance(tree, bool | int | float) and math.isfinite(tree)  # JSON has no others
    return tree if tree is None or is_number else plain_text(tree)


def to_json(table: Table, indent: int | None = 2) -> str:
    """Return what `to_dict` gives as JSON."""
    return json.dumps(to_dict(table), indent=indent, allow_nan=False)


def _header(table: Table) -> list[str]:
    measures = [f"{name} (estimated)" if name in ESTIMATES else name for name in table.measures]
    counts = [f"{name} {what}" for name in table.collections for what in ("size", "bytes")]
    names = ["path", "module", "method", "inputs", "outputs", *measures, *table.collections]
    return [*names, *counts, *["unknown"] * _has_unknown(table)]


def _has_unknown(table: Table) -> bool:
    return any(row.unknown for row in table)


def _cells(row: Row, table: Table) -> list[Any]:
    counts = row.size_and_bytes(table.collections)
    write = Layout().write
    return [
        row.name,
        row.module_type,
        row.method,
        write(row.inputs),
        write(row.outputs),
        *(_or_nothing(getattr(row, name)) for name in table.measures),
        *(write(row.module_variables.get(name)) for name in table.collections),
        *(number for name in table.collections for number in counts[name]),
        *["\n".join(f"{name}: {why}" for name, why in row.unknown.items())] * _has_unknown(table),
    ]


def _total_cells(table: Table) -> list[Any]:
    return [
        *("", "Total", "", "", ""),
        *(_or_nothing(table.total(name)) for name in table.measures),
        *("" for _ in table.collections),
        *(number for numbers in table.totals().values() for number in numbers),
        *[""] * _has_unknown(table),
    ]


def _or_nothing(number: int | None) -> int | str:
    return "" if number is None else number


def to_csv(table: Table) -> str:
    """Return the rows as comma-separated values under a line of names, without totals."""
    return csv_text(_header(table), (_cells(row, table) for row in table))


def to_markdown(table: Table) -> str:
    """Return the rows and their totals as a table in GitHub's Markdown."""
    rows = [_cells(row, table) for row in table]
    return markdown_text(_header(table), [*rows, _total_cells(table)])


def to_html(table: Table) -> str:
    """Return the rows and their totals as an HTML table."""
    rows = [_cells(row, table) for row in table]
    return html_text(table.title, _header(table), rows, _total_cells(table))
