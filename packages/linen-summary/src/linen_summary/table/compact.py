"""The printed form of a `Table`: one line for each row, readable at 80 columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.typing import Path
from linen_summary.costs.measure import Measure
from linen_summary.costs.meter import measures_by_name
from linen_summary.table.data import Row, TableData
from linen_summary.text.values import bytes_text, one_line, sentence

__all__ = ["Compact"]

_NAMES_WIDTH = 24
"""Width of the longest module name for which outputs or collections are left out."""
_LEAST_NAMES_WIDTH = 12
"""Width of the longest module name for which bytes and measures are left out."""
_OUTPUTS_WIDTH = 14
"""The least width of the column of outputs."""


@dataclasses.dataclass(frozen=True)
class Compact:
    """A table laid out for the width of a console. Long names are cut, numbers never.

    In a narrow console the table first leaves out outputs, then adds up the collections, then leaves out bytes, then
    measures from the last to the first. A note names the columns that are left out.
    """

    table: TableData

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._columns(options.max_width)
        yield _compact_table(self.table, shown)
        for note in _notes(self.table, shown):
            yield Text(note, style="italic")

    def _columns(self, width: int) -> _Columns:
        """Choose the columns for a width."""
        measures = tuple(measures_by_name()[name] for name in self.table.measures)
        choices = [
            _Columns(measures, outputs=self.table.module is not None),
            _Columns(measures),
            _Columns(measures, together=True),
            *(
                _Columns(measures[:count], together=True, bytes=False, names=_LEAST_NAMES_WIDTH)
                for count in range(len(measures), -1, -1)
            ),
        ]
        names = max(map(len, _names(self.table)), default=0)
        for choice in choices:
            widths = [column.width for column in _number_columns(self.table, choice)]
            widths += [min(names, choice.names), *([_OUTPUTS_WIDTH] * choice.outputs)]
            if sum(widths) + 3 * len(widths) + 1 <= width:
                return choice
        return choices[-1]


class _Columns(NamedTuple):
    """The columns that are shown."""

    measures: tuple[Measure, ...]
    outputs: bool = False
    together: bool = False
    """True if all collections have one column."""
    bytes: bool = True
    names: int = _NAMES_WIDTH
    """The width that names may take."""


class _Column(NamedTuple):
    """A column of numbers."""

    header: str
    cells: Sequence[str]
    total: str

    @property
    def width(self) -> int:
        return max(map(len, (*self.header.split("\n"), *self.cells, self.total)))


def _compact_table(table: TableData, shown: _Columns) -> RichTable:
    grid = RichTable(
        title=escape(table.title), show_footer=True, title_justify="left", expand=False
    )
    grid.add_column("module" if table.module is not None else "path", "Total")
    if shown.outputs:
        grid.add_column("outputs")
    columns = _number_columns(table, shown)
    for column in columns:
        grid.add_column(escape(column.header), column.total, no_wrap=True, justify="right")
    for number, (row, name) in enumerate(zip(table, _names(table), strict=True)):
        outputs = one_line(row.outputs) if row.calls else ""
        texts = [_cut(name), *([_cut(outputs)] * shown.outputs)]
        grid.add_row(*texts, *(column.cells[number] for column in columns))
    return grid


def _number_columns(table: TableData, shown: _Columns) -> list[_Column]:
    columns = []
    sizes = [row.size_and_bytes(table.collections) for row in table]
    if shown.together:
        cells = [_count_text(row.size) for row in table]
        columns.append(_Column("variables", cells, f"{table.size:,}"))
    else:
        for name, (total, _) in table.totals().items():
            columns.append(_Column(name, [_count_text(s[name][0]) for s in sizes], f"{total:,}"))
    if shown.bytes:
        cells = [bytes_text(row.bytes) if row.bytes else "" for row in table]
        columns.append(_Column("bytes", cells, bytes_text(table.bytes)))
    has_root = any(not row.path for row in table)
    for measure in shown.measures:
        cells = [_measure_text(measure, getattr(row, measure.name)) for row in table]
        whole = _measure_text(measure, table.total(measure.name)) if has_root else ""
        columns.append(_Column(measure.header, cells, whole))
    return columns


def _count_text(size: int) -> str:
    return f"{size:,}" if size else ""


def _measure_text(measure: Measure, number: int | None) -> str:
    return "unknown" if number is None else measure.text(number)


def _cut(text: str) -> Text:
    """Return a cell that rich cuts where it is too long."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _names(table: TableData) -> list[str]:
    """Return names of modules, indented under the nearest row above that contains them, if any."""
    names = []
    above: list[Path] = []
    for row in table:
        while above and (row.path == above[-1] or row.path[: len(above[-1])] != above[-1]):
            above.pop()
        names.append("  " * len(above) + _name(row, len(above[-1]) if above else 0))
        above.append(row.path)
    return names


def _name(row: Row, start: int) -> str:
    """Return the path of a module from an index on, with its class unless the name contains it."""
    name = "/".join(row.path[start:]) or row.module_type or "."
    last = row.path[-1] if row.path else name
    kind = "" if last.startswith(row.module_type) else f" ({row.module_type})"
    method = "" if row.method in ("", "__call__") else f".{row.method}"
    return name + kind + method


def _notes(table: TableData, shown: _Columns) -> list[str]:
    notes = []
    left_out = ["outputs"] * (table.module is not None and not shown.outputs)
    left_out += ["bytes"] * (not shown.bytes)
    left_out += [measures_by_name()[name].label for name in table.measures[len(shown.measures) :]]
    if left_out:
        text = " and ".join(filter(None, [", ".join(left_out[:-1]), left_out[-1]]))
        notes.append(sentence(f"{text} are not shown at this width."))
    if table.hidden_calls:
        calls = "call" if table.hidden_calls == 1 else "calls"
        notes.append(
            f"{table.hidden_calls} further {calls} of modules above: show_repeated=True shows them."
        )
    for row in table:
        if row.repeated:
            notes.append(f"{row.name or '.'}, call {row.index}: its variables are counted above.")
        notes += row.notes
    estimates = (measure.estimate_note for measure in shown.measures)
    return [*notes, *dict.fromkeys(filter(None, estimates))]
