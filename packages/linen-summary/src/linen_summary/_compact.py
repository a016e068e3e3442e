"""The table as a `Table` shows itself: one line for each row, readable at 80 columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.typing import Path
from linen_summary._formats import ESTIMATES
from linen_summary._layout import one_line
from linen_summary._values import bytes_text, short_number

if TYPE_CHECKING:
    from linen_summary.table import Row, Table

__all__ = ["Compact"]


_NAMES = {
    "flops": "FLOPs",
    "vjp_flops": "VJP FLOPs",
    "macs": "MACs",
    "activation_bytes": "Activation memory",
    "training_bytes": "Activation memory in training",
}
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
"""How wide names of modules may be before something else is left out for them."""
_OUTPUTS_WIDTH = 14
"""The least that is left to outputs, if they are shown."""


@dataclasses.dataclass(frozen=True)
class Compact:
    """A table laid out for the width there is: long names are cut, numbers never.

    Where it is narrow the outputs go first, then the collections are added up, then bytes go; a note says so.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _laid_out(self.table, self._choice(options.max_width))
        for note in _notes(self.table, self._choice(options.max_width)):
            yield Text(note, style="italic")

    def _choice(self, width: int) -> _Choice:
        outputs = self.table.module is not None
        choices = [_Choice(outputs), _Choice(False), _Choice(False, together=True)]
        paths = {row.path for row in self.table}
        names = max((len(_name(row, paths)) for row in self.table), default=0)
        for choice in choices:
            widths = [column.width for column in _number_columns(self.table, choice)]
            widths += [min(names, _NAMES_WIDTH), *([_OUTPUTS_WIDTH] * choice.outputs)]
            if sum(widths) + 3 * len(widths) + 1 <= width:
                return choice
        return _Choice(False, together=True, bytes=False)


class _Choice(NamedTuple):
    """Which columns are shown."""

    outputs: bool
    together: bool = False
    """Whether all collections have one column."""
    bytes: bool = True


class _Column(NamedTuple):
    """A column of numbers."""

    header: str
    cells: Sequence[str]
    total: str

    @property
    def width(self) -> int:
        return max(map(len, (*self.header.split("\n"), *self.cells, self.total)))


def _laid_out(table: Table, choice: _Choice) -> RichTable:
    made = RichTable(title=table.title, show_footer=True, title_justify="left", expand=False)
    made.add_column("module" if table.module is not None else "path", "Total")
    if choice.outputs:
        made.add_column("outputs")
    columns = _number_columns(table, choice)
    for column in columns:
        made.add_column(column.header, column.total, no_wrap=True, justify="right")
    paths = {row.path for row in table}
    for number, row in enumerate(table):
        texts = [_cut(_name(row, paths)), *([_cut(one_line(row.outputs))] * choice.outputs)]
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
    for name in table.measures:
        cells = [_measure_text(name, getattr(row, name)) for row in table]
        whole = _measure_text(name, table.total(name))
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


def _name(row: Row, paths: Container[Path]) -> str:
    """Name a module below the nearest that has a row, with its class where the name does not say it."""
    above = [length for length in range(len(row.path)) if row.path[:length] in paths]
    name = "/".join(row.path[above[-1] if above else 0 :]) or row.module_type or "."
    last = row.path[-1] if row.path else name
    kind = "" if last.startswith(row.module_type) else f" ({row.module_type})"
    method = "" if row.method in ("", "__call__") else f".{row.method}"
    return "  " * len(above) + name + kind + method


def _notes(table: Table, choice: _Choice) -> list[str]:
    notes = []
    if table.module is not None and not choice.outputs:
        left_out = "Outputs" if choice.bytes else "Outputs and bytes"
        notes.append(f"{left_out} are not shown at this width.")
    if table.hidden_calls:
        calls = "call" if table.hidden_calls == 1 else "calls"
        notes.append(
            f"{table.hidden_calls} further {calls} of modules above: show_repeated=True shows them."
        )
    for row in table:
        if row.repeated:
            notes.append(f"{row.name or '.'}, call {row.index}: its variables are counted above.")
        for name, why in row.unknown.items():
            notes.append(f"{_NAMES[name]} of {row.name or row.module_type}: {why}")
    if any(name in ESTIMATES for name in table.measures):
        notes.append(_ESTIMATED)
    return notes
