"""The table in formats that other programs read."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from linen_summary._layout import lay_out, plain, plain_text

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = ["to_csv", "to_dict", "to_html", "to_json", "to_markdown"]


def to_dict(table: Table) -> dict[str, Any]:
    """Return the table as dicts, lists, strings, numbers, booleans and None."""
    return {
        "module": type(table.module).__name__,
        "collections": list(table.collections),
        "rows": [_row_dict(row, table) for row in table],
        "totals": {
            "size": {name: size for name, (size, _) in table.totals().items()},
            "bytes": {name: number for name, (_, number) in table.totals().items()},
            **_flops(table, table),
        },
        "hidden_calls": table.hidden_calls,
    }


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
        "variables": _jsonable(row.module_variables),
        "size": {name: size for name, (size, _) in counts.items()},
        "bytes": {name: number for name, (_, number) in counts.items()},
        **_flops(table, row),
    }
    notes = {"flops": row.flops_note, "vjp_flops": row.vjp_flops_note}
    known = {name: note for name, note in notes.items() if note}
    return {**made, "unknown": known} if known else made


def _flops(table: Table, owner: Row | Table) -> dict[str, int | None]:
    asked = {"flops": table.has_flops, "vjp_flops": table.has_vjp_flops}
    return {name: getattr(owner, name) for name, has in asked.items() if has}


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
    flops = [name for name in ("flops", "vjp_flops") if getattr(table, f"has_{name}")]
    counts = [f"{name} {what}" for name in table.collections for what in ("size", "bytes")]
    return ["path", "module", "method", "inputs", "outputs", *flops, *table.collections, *counts]


def _cells(row: Row, table: Table) -> list[Any]:
    counts = row.size_and_bytes(table.collections)
    return [
        row.name,
        row.module_type,
        row.method,
        lay_out(row.inputs, plain_text),
        lay_out(row.outputs, plain_text),
        *("" if number is None else number for number in _flops(table, row).values()),
        *(lay_out(row.module_variables.get(name), plain_text) for name in table.collections),
        *(number for name in table.collections for number in counts[name]),
    ]


def _total_cells(table: Table) -> list[Any]:
    return [
        *("", "Total", "", "", ""),
        *("" if number is None else number for number in _flops(table, table).values()),
        *("" for _ in table.collections),
        *(number for numbers in table.totals().values() for number in numbers),
    ]


def to_csv(table: Table) -> str:
    """Return the rows as comma-separated values under a line of names, without totals."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(_header(table))
    writer.writerows(_cells(row, table) for row in table)
    return output.getvalue()


def to_markdown(table: Table) -> str:
    """Return the rows and their totals as a table in GitHub's Markdown."""
    header = _header(table)
    rows = [_cells(row, table) for row in table]
    lines = [header, ["---"] * len(header), *rows, _total_cells(table)]
    return "".join(f"| {' | '.join(map(_markdown_text, line))} |\n" for line in lines)


def _markdown_text(cell: Any) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else html.escape(cell, quote=False)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>")


def to_html(table: Table) -> str:
    """Return the rows and their totals as an HTML table."""
    head = _html_row(_header(table), "th")
    body = "".join(_html_row(_cells(row, table)) for row in table)
    foot = _html_row(_total_cells(table), "th")
    return (
        f"<table>\n<caption>{html.escape(table.title)}</caption>\n<thead>\n{head}</thead>\n"
        f"<tbody>\n{body}</tbody>\n<tfoot>\n{foot}</tfoot>\n</table>\n"
    )


def _html_row(cells: Sequence[Any], tag: str = "td") -> str:
    made = []
    for cell in cells:
        is_number = isinstance(cell, int)
        style = "text-align: right" if is_number else "text-align: left; white-space: pre"
        text = f"{cell:,}" if is_number else html.escape(cell)
        made.append(f'<{tag} style="{style}; vertical-align: top">{text}</{tag}>')
    return f"<tr>{''.join(made)}</tr>\n"
