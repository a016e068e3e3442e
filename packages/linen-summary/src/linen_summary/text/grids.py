"""Tables of plain cells as CSV, Markdown, HTML and JSON. Numbers are aligned right, text left."""

from __future__ import annotations

import abc
import csv
import html
import io
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from linen_summary.text.printing import print_text

__all__ = ["Exportable", "Grid"]

_MARKDOWN_SYNTAX = re.compile(r"[\\|*`~]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that Markdown reads as syntax. An underscore within a word is plain text."""

Cells = Sequence[str | int]


class Grid(NamedTuple):
    """The cells of a table."""

    title: str
    header: Sequence[str]
    rows: Sequence[Cells]
    total: Cells | None = None
    """The last line, for formats that readers look at. CSV leaves it out."""


class Exportable(abc.ABC):
    """Exports an object that can be written as a dict and as a grid of cells."""

    @abc.abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the contents as dicts, lists, strings, numbers, booleans and None."""

    @abc.abstractmethod
    def _grid(self) -> Grid:
        """Return the contents as cells."""

    def to_json(self, indent: int | None = 2) -> str:
        """Return the contents of `to_dict` as JSON.

        Args:
          indent: spaces per level of nesting; everything on one line if None.

        Example:
          >>> from linen_summary import compare
          >>> compare({"params": {}}, {"params": {}}).to_json(indent=None)
          '{"changes": [], "unchanged": 0}'
        """
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def to_csv(self) -> str:
        """Return the rows as comma-separated values under a line of column names, without totals.

        Example:
          >>> from linen_summary import tabulate_store
          >>> print(tabulate_store({"params": {"w": jnp.ones(3)}}).to_csv().strip())
          path,module,method,inputs,outputs,params,params size,params bytes
          ,,,,,w: float32[3],3,12
        """
        grid = self._grid()
        output = io.StringIO()
        csv.writer(output, lineterminator="\n").writerows([grid.header, *grid.rows])
        return output.getvalue()

    def to_markdown(self) -> str:
        """Return the rows and their totals as a table in GitHub's Markdown.

        Example:
          >>> from linen_summary import tabulate_store
          >>> print(tabulate_store({"params": {"w": jnp.ones(3)}}).to_markdown().splitlines()[-1])
          |  | Total |  |  |  |  | 3 | 12 |
        """
        grid = self._grid()
        lines = [grid.header, ["---"] * len(grid.header), *grid.rows]
        lines += [] if grid.total is None else [grid.total]
        return "".join(f"| {' | '.join(map(_markdown_cell, line))} |\n" for line in lines)

    def to_html(self) -> str:
        """Return the rows and their totals as an HTML table.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_html().count("<tr>")
          3
        """
        grid = self._grid()
        body = "".join(map(_html_row, grid.rows))
        foot = "" if grid.total is None else f"<tfoot>\n{_html_row(grid.total, 'th')}</tfoot>\n"
        return (
            f"<table>\n<caption>{html.escape(grid.title)}</caption>\n"
            f"<thead>\n{_html_row(grid.header, 'th')}</thead>\n<tbody>\n{body}</tbody>\n{foot}</table>\n"
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return print_text(self)


def _markdown_cell(cell: str | int) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else html.escape(cell, quote=False)
    return _MARKDOWN_SYNTAX.sub(r"\\\g<0>", text).replace("\n", "<br>")


def _html_row(cells: Cells, tag: str = "td") -> str:
    written = []
    for cell in cells:
        is_number = isinstance(cell, int)
        style = "text-align: right" if is_number else "text-align: left; white-space: pre"
        text = f"{cell:,}" if isinstance(cell, int) else html.escape(cell)
        written.append(f'<{tag} style="{style}; vertical-align: top">{text}</{tag}>')
    return f"<tr>{''.join(written)}</tr>\n"
