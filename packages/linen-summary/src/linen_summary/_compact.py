"""The table as a `Table` shows itself: one line for each row, readable at 80 columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.typing import Path
from linen_summary._formats import ESTIMATES
from linen_summary._layout import one_line
from linen_summary._values import MEASURE_NAMES, bytes_text, sentence, short_number

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = ["Compact"]


_ESTIMATED = (
    "Estimates of activation memory, from the trace: every result is stored until its last use."
)
_HEADERS = {
    "vjp_flops": "vjp flops",
    "macs": "MACs",
    "activation_bytes": "forward\nestimate",
    "training_bytes": "training\nestimate",
}


_NAMES_WIDTH = 24
"""How wide names of modules may be before outputs or collections are left out for them."""
_LEAST_NAMES_WIDTH = 12
"""How wide names may be before bytes and other numbers are left out for them."""
_OUTPUTS_WIDTH = 14
"""The least that is left to outputs, if they are shown."""


@dataclasses.dataclass(frozen=True)
class Compact:
    """A table laid out for the width there is: long names are cut, numbers never.

    Where it is narrow the outputs go first, then the collections are added up, then bytes go, then the other numbers,
    the last first; a note says so.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        choice = self._choice(options.max_width)
        yield _laid_out(self.table, choice)
        for note in _notes(self.table, choice):
            yield Text(note, style="italic")

    def _choice(self, width: int) -> _Choice:
        measures = self.table.measures
        choices = [
            _Choice(measures, outputs=self.table.module is not None),
            _Choice(measures),
            _Choice(measures, together=True),
            *(
                _Choice(measures[:count], together=True, bytes=False, names=_LEAST_NAMES_WIDTH)
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


class _Choice(NamedTuple):
    """Which columns are shown."""

    measures: tuple[str, ...]
    outputs: bool = False
    together: bool = False
    """Whether all collections have one column."""
    bytes: bool = True
    names: int = _NAMES_WIDTH
    """How wide names may be."""


class _Column(NamedTuple):
    """A column of numbers."""

    header: str
    cells: Sequence[str]
    total: str

    @property
    def width(self) -> int:
        return max(map(len, (*self.header.split("\n"), *self.cells, self.total)))


def _laid_out(table: Table, choice: _Choice) -> RichTable:
    made = RichTable(
        title=escape(table.title), show_footer=True, title_justify="left", expand=False
    )
    made.add_column("module" if table.module is not None else "path", "Total")
    if choice.outputs:
        made.add_column("outputs")
    columns = _number_columns(table, choice)
    for column in columns:
        made.add_column(escape(column.header), column.total, no_wrap=True, justify="right")
    for number, (row, name) in enumerate(zip(table, _names(table), strict=True)):
        outputs = one_line(row.outputs) if row.calls else ""
        texts = [_cut(name), *([_cut(outputs)] * choice.outputs)]
        made.add_row(*texts, *(column.cells[number] for column in columns))
    return made


def _number_columns(table: Table, choice: _Choice) -> list[_Column]:
    made = []
    sizes = [row.size_and_bytes(table.collections) for row in table]
    if choice.together:
        cells = [_size_text(row.size) for row in table]
        made.append(_Column("variables", cells, f"{table.size:,}"))
    else:
        for name, (total, _) in table.totals().items():
            made.append(_Column(name, [_size_text(s[name][0]) for s in sizes], f"{total:,}"))
    if choice.bytes:
        cells = [bytes_text(row.bytes) if row.bytes else "" for row in table]
        made.append(_Column("bytes", cells, bytes_text(table.bytes)))
    has_root = any(not row.path for row in table)
    for name in choice.measures:
        cells = [_measure_text(name, getattr(row, name)) for row in table]
        whole = _measure_text(name, table.total(name)) if has_root else ""
        made.append(_Column(_HEADERS.get(name, name), cells, whole))
    return made


def _size_text(size: int) -> str:
    return f"{size:,}" if size else ""


def _measure_text(name: str, number: int | None) -> str:
    if number is None:
        return "unknown"
    return bytes_text(number) if name.endswith("bytes") else short_number(number)


def _cut(text: str) -> Text:
    """Make a cell that is cut where it does not fit."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _names(table: Table) -> list[str]:
    """Name modules, each under the nearest row above that it lies in; in a sorted table there may be none."""
    names = []
    above: list[Path] = []
    for row in table:
        while above and (row.path == above[-1] or row.path[: len(above[-1])] != above[-1]):
            above.pop()
        names.append("  " * len(above) + _name(row, len(above[-1]) if above else 0))
        above.append(row.path)
    return names


def _name(row: Row, start: int) -> str:
    """Name a module from a place in its path on, with its class where the name does not say it."""
    name = "/".join(row.path[start:]) or row.module_type or "."
    last = row.path[-1] if row.path else name
    kind = "" if last.startswith(row.module_type) else f" ({row.module_type})"
    method = "" if row.method in ("", "__call__") else f".{row.method}"
    return name + kind + method


def _notes(table: Table, choice: _Choice) -> list[str]:
    notes = []
    left_out = [MEASURE_NAMES[name] for name in table.measures if name not in choice.measures]
    left_out = ["bytes"] * (not choice.bytes) + left_out
    left_out = ["outputs"] * (table.module is not None and not choice.outputs) + left_out
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
    if any(name in ESTIMATES for name in choice.measures):
        notes.append(_ESTIMATED)
    return notes
