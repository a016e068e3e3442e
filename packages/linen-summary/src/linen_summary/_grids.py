"""Lines of cells in formats that other programs read. Numbers stand to the right, text to the left."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text", "html_text", "markdown_text"]

_MARKDOWN_SIGN = re.compile(r"[\\|*`~]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as more than a letter; an underscore within a word is none."""


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write comma-separated values under a line of names."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return output.getvalue()


def markdown_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table in GitHub's Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(_markdown_cell, line))} |\n" for line in lines)


def _markdown_cell(cell: Any) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else html.escape(cell, quote=False)
    return _MARKDOWN_SIGN.sub(r"\\\g<0>", text).replace("\n", "<br>")


def html_text(
    title: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Any]],
    total: Sequence[Any] | None = None,
) -> str:
    """Write an HTML table, its last line set apart."""
    body = "".join(map(_html_row, rows))
    foot = "" if total is None else f"<tfoot>\n{_html_row(total, 'th')}</tfoot>\n"
    return (
        f"<table>\n<caption>{html.escape(title)}</caption>\n"
        f"<thead>\n{_html_row(header, 'th')}</thead>\n<tbody>\n{body}</tbody>\n{foot}</table>\n"
    )


def _html_row(cells: Sequence[Any], tag: str = "td") -> str:
    made = []
    for cell in cells:
        is_number = isinstance(cell, int)
        style = "text-align: right" if is_number else "text-align: left; white-space: pre"
        text = f"{cell:,}" if is_number else html.escape(cell)
        made.append(f'<{tag} style="{style}; vertical-align: top">{text}</{tag}>')
    return f"<tr>{''.join(made)}</tr>\n"
