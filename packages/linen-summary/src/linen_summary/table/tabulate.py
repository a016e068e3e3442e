"""`tabulate`: the summary in the format of flax.linen."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
from rich.console import Console, ConsoleOptions
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.filters import CollectionFilter
from linen_core.meta import Partitioned
from linen_core.module import Module
from linen_core.typing import PRNGKey, RNGSequences
from linen_summary.table.data import Row, TableData
from linen_summary.table.summarize import ALL_BUT_INTERMEDIATES, table_of_call
from linen_summary.text.values import (
    Layout,
    array_text,
    bytes_text,
    hanging_lines,
    is_explicit_key,
    key_text,
    one_line,
    text_lines,
)

__all__ = ["tabulate"]

_UNNAMED_METHODS = ("__call__", "<lambda>", "")


def tabulate(
    module: Module,
    rngs: PRNGKey | RNGSequences,
    depth: int | None = None,
    show_repeated: bool = False,
    mutable: CollectionFilter = ALL_BUT_INTERMEDIATES,
    console_kwargs: Mapping[str, Any] | None = None,
    table_kwargs: Mapping[str, Any] = MappingProxyType({}),
    column_kwargs: Mapping[str, Any] = MappingProxyType({}),
    compute_flops: bool = False,
    compute_vjp_flops: bool = False,
    **kwargs: Any,
) -> Callable[..., str]:
    """Return a function that prints the summary of a module for given inputs.

    Args:
      module: the module.
      rngs: as for `Module.init`.
      depth: number of levels of submodules that get rows; all if None.
      show_repeated: whether further calls of a module with a row get rows too.
      mutable: the collections to initialise.
      console_kwargs: arguments of `rich.console.Console`, for example ``{"width": 120}``. The text has the escape
        codes of a terminal unless they include ``"force_terminal": False``.
      table_kwargs: arguments of `rich.table.Table`.
      column_kwargs: arguments of each column of the table.
      compute_flops: whether to show the FLOPs of each row. As in flax, loops count one iteration; `summarize` counts
        every iteration of a scan.
      compute_vjp_flops: whether to show the FLOPs of the vector-Jacobian product of each row, likewise.
      **kwargs: keyword arguments of the call, and ``method`` as for `Module.init`.

    Returns:
      A function that takes the inputs, as arrays or `jax.ShapeDtypeStruct`, and returns the text.

    Example:
      >>> import jax, linen_core as nn
      >>> text = tabulate(nn.Dense(2), jax.random.key(0))(jax.numpy.ones((1, 3)))
      >>> "float32[3,2]" in text
      False
      >>> plain = {"force_terminal": False, "width": 80}
      >>> text = tabulate(nn.Dense(2), jax.random.key(0), console_kwargs=plain)(jax.numpy.ones((1, 3)))
      >>> "kernel: float32[3,2]" in text
      True
    """
    flags = {"flops": compute_flops, "vjp_flops": compute_vjp_flops}

    def tabulate_inputs(*call_args: Any, **call_kwargs: Any) -> str:
        table = table_of_call(
            module,
            rngs,
            call_args,
            {"mutable": mutable, **call_kwargs, **kwargs},
            depth=depth,
            show_repeated=show_repeated,
            measures=tuple(name for name, is_requested in flags.items() if is_requested),
            every_iteration=False,
        )
        return _rendered(table, console_kwargs, table_kwargs, column_kwargs)

    return tabulate_inputs


def _rendered(
    table: TableData,
    console_kwargs: Mapping[str, Any] | None,
    table_kwargs: Mapping[str, Any],
    column_kwargs: Mapping[str, Any],
) -> str:
    """Return the printed table with the reasons why numbers are unknown under it."""
    output = io.StringIO()
    options = {"force_terminal": True, "force_jupyter": False, **(console_kwargs or {})}
    console = Console(file=output, **options)
    console.print(_flax_table(table, table_kwargs, column_kwargs))
    for row in table:
        for note in row.notes:
            console.print(Text(note))
    return f"\n{output.getvalue()}\n"


def _flax_table(
    table: TableData, table_kwargs: Mapping[str, Any], column_kwargs: Mapping[str, Any]
) -> RichTable:
    grid = RichTable(
        show_header=True,
        show_lines=True,
        show_footer=True,
        title=table.title,
        **table_kwargs,
    )
    columns = _columns(table)
    for name in (*columns, *table.collections):
        grid.add_column(escape(name), **column_kwargs)
    cell = functools.cache(_Cell)
    for row in table:
        texts = (text(row) for text in columns.values())
        grid.add_row(*map(cell, (*texts, *_variable_cells(row, table))))
    totals = table.totals()
    grid.columns[len(columns) - 1].footer = Text("Total", justify="right")
    for column, name in zip(grid.columns[len(columns) :], table.collections, strict=True):
        column.footer = _size_text(*totals[name])
    grid.caption = f"\nTotal Parameters: {_size_text(table.size, table.bytes)}"
    grid.caption_style = "bold"
    return grid


def _columns(table: TableData) -> dict[str, Callable[[Row], str]]:
    return {
        "path": lambda row: escape(row.name),
        "module": _module_text,
        "inputs": lambda row: _CELLS.write(row.inputs),
        "outputs": lambda row: _CELLS.write(row.outputs),
        **{name: functools.partial(_number_text, name) for name in table.measures},
    }


def _module_text(row: Row) -> str:
    method = "" if row.method in _UNNAMED_METHODS else f" [dim]({escape(row.method)})[/dim]"
    return row.module_type + method


def _number_text(name: str, row: Row) -> str:
    return str(row.numbers.get(name, "unknown"))


def _variable_cells(row: Row, table: TableData) -> list[str]:
    cells = []
    for name, (size, total_bytes) in row.size_and_bytes(table.collections).items():
        variables = _CELLS.write(row.module_variables.get(name))
        gap = "\n\n" if variables else ""
        cells.append(f"{variables}{gap}[bold]{_size_text(size, total_bytes)}[/bold]")
    return cells


def _size_text(size: int, total_bytes: int) -> str:
    return f"{size:,} [dim]({bytes_text(total_bytes)})[/dim]" if size else ""


class _CellLayout(Layout):
    """Writes cells as flax does: in YAML without single quotation marks, with rich markup."""

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        if isinstance(value, jax.ShapeDtypeStruct | Partitioned):
            return _unquoted(text_lines(_array_markup(value), column, margin))
        return _escaped_markup(text_lines(repr(value), column, margin))

    def key_text(self, key: Any) -> tuple[str, int]:
        text = key_text(key)
        return "\n".join(_escaped_markup([text])), len(text)

    def item_lines(self, key: Any, item: Any, margin: int) -> Sequence[str]:
        if not is_explicit_key(key):
            return super().item_lines(key, item, margin)
        place = margin + 2
        return [
            *hanging_lines("? ", _KEYS.lines(key, place, place)),
            *hanging_lines(": ", self.lines(item, place, place)),
        ]


class _KeyLayout(_CellLayout):
    """Writes keys that are containers or long texts."""

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        is_text = isinstance(value, str)
        return _escaped_markup(text_lines(value, column, margin) if is_text else [key_text(value)])


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


def _escaped_markup(lines: Sequence[str]) -> list[str]:
    """Escape user text that rich would read as markup."""
    text = "\n".join([*_unquoted(lines), ""])  # keeps `escape` from doubling a final backslash
    return escape(text).split("\n")[:-1]


class _Cell:
    """A text with markup that is rendered once for each width.

    Rendering takes most of the time of a long table. Its equal layers have equal cells, which share one object.

    Args:
      markup: the text.
    """

    def __init__(self, markup: str) -> None:
        self._markup = markup
        self._segments: dict[Any, list[Segment]] = {}
        self._measures: dict[Any, Measurement] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        key = (
            options.max_width,
            options.justify,
            options.overflow,
            options.no_wrap,
            options.highlight,
            options.markup,
        )
        if key not in self._segments:
            self._segments[key] = list(console.render(self._markup, options))
        return self._segments[key]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        key = (options.max_width, options.markup)
        if key not in self._measures:
            self._measures[key] = Measurement.get(console, options, self._markup)
        return self._measures[key]
