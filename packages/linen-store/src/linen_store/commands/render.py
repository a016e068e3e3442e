"""Renders the outcome of a command: as JSON, as tables of rich if it is installed, or as plain text."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from typing import Any

__all__ = ["Outcome", "render"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a command."""

    data: dict[str, Any]
    """The data, for JSON."""

    columns: Sequence[str] = ()
    """Titles of the table."""

    rows: Sequence[Sequence[str]] = ()
    """The table."""

    summary: str = ""
    """The line below it."""

    code: int = 0
    """The exit code."""


def render(outcome: Outcome, *, as_json: bool) -> str:
    """Return the text that a command prints."""
    if as_json:
        return json.dumps(outcome.data) + "\n"
    rows = [[_printable(cell) for cell in row] for row in outcome.rows]
    table = _table(outcome.columns, rows) if rows else ""
    summary = "\n".join(map(_printable, outcome.summary.split("\n")))
    return table + (summary + "\n" if summary else "")


def _printable(cell: str) -> str:
    """Escape the characters that a terminal would interpret."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in cell
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    try:
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return _plain_table(columns, rows)
    table = Table(box=SIMPLE)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as text: rich would read brackets in names as markup
    stream = io.StringIO()
    Console(file=stream, width=shutil.get_terminal_size().columns).print(table)
    return stream.getvalue()


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    ]
    return "\n".join(lines) + "\n"
