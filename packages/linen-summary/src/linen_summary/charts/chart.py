"""Charts of the shares of modules in a quantity: as SVG, as HTML, and in the terminal."""

from __future__ import annotations

import dataclasses
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from linen_summary.charts.parts import Part, parts, value_text
from linen_summary.charts.svg import Bar, bars_svg, html_page, treemap_svg
from linen_summary.charts.terminal import tile_lines
from linen_summary.costs.meter import measures_by_name
from linen_summary.table.table import Table
from linen_summary.text.printing import print_text

__all__ = ["Chart", "bars", "treemap"]

_BLOCKS = " ▏▎▍▌▋▊▉"


@dataclasses.dataclass(frozen=True)
class Chart:
    """The shares of the modules of a table in a quantity. `treemap` and `bars` create it.

    Example:
      >>> from linen_summary import tabulate_store
      >>> chart = bars(tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}}))
      >>> print(chart)
      Variables: 12 variables
      b ██████████████████████████████ 9 75.0%
      a ██████████                     3 25.0%
      >>> chart.to_html().startswith("<!DOCTYPE html>")
      True
    """

    kind: Literal["treemap", "bars"]
    """The kind of chart."""
    by: str
    """The quantity: name of an attribute of `Row`."""
    title: str
    """The title."""
    root: Part
    """The whole, with the parts in it."""
    unknown: tuple[str, ...] = ()
    """Names of the modules that are left out because their number is unknown."""
    top: int = 20
    """The largest number of bars. The rest share one more."""

    def to_svg(self, width: int = 900, height: int = 500) -> str:
        """Return the chart as SVG, with the numbers in tooltips too.

        Args:
          width: width in pixels.
          height: height of a treemap in pixels. The number of bars determines theirs.

        Example:
          >>> from linen_summary import tabulate_store
          >>> bars(tabulate_store({"params": {"w": jnp.ones(3)}})).to_svg(width=300).startswith("<svg")
          True
        """
        if self.kind == "treemap":
            return treemap_svg(self.root, self.by, self.title, width, height)
        return bars_svg(self.bars(), self.root.total, self.by, self.title, width)

    def to_html(self, width: int = 900, height: int = 500) -> str:
        """Return the chart as an HTML page with a button that saves it as PNG.

        Args:
          width: as for `to_svg`.
          height: as for `to_svg`.

        Example:
          >>> from linen_summary import tabulate_store
          >>> "Save as PNG" in bars(tabulate_store({"params": {"w": jnp.ones(3)}})).to_html()
          True
        """
        return html_page(self.to_svg(width, height), self.title)

    def bars(self) -> list[Bar]:
        """Return names and numbers of modules without their submodules, the largest first.

        Example:
          >>> from linen_summary import tabulate_store
          >>> table = tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}})
          >>> treemap(table).bars()
          [('b', 9), ('a', 3)]
        """
        found = [(part.name, part.own) for part in self.root.every() if part.own]
        found.sort(key=lambda bar: bar[1], reverse=True)
        rest = found[self.top :]
        others = [(f"{len(rest)} more", sum(number for _, number in rest))] if rest else []
        return found[: self.top] + others

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.title, style="italic")
        if self.kind == "treemap":
            yield from tile_lines(self.root, self.by, options.max_width, options.height or 24)
        else:
            yield self._bar_table(max(10, min(40, options.max_width - 50)))
        if self.unknown:
            yield Text(f"Unknown, and left out: {', '.join(self.unknown)}", style="italic")

    def _bar_table(self, width: int) -> RichTable:
        grid = RichTable.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_column(no_wrap=True, justify="right")
        found = self.bars()
        largest = max((number for _, number in found), default=0) or 1
        for name, number in found:
            full, eighths = divmod(round(8 * width * number / largest), 8)
            bar = "█" * full + _BLOCKS[eighths].strip()
            share = f"{100 * number / self.root.total:.1f}%"
            grid.add_row(Text(name), Text(bar, "blue"), value_text(number, self.by), share)
        return grid

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        return print_text(self)


def treemap(table: Table, by: str = "size") -> Chart:
    """Draw modules as nested rectangles with areas in proportion to a quantity.

    Args:
      table: a result of `summarize` or `tabulate_store`.
      by: ``size`` (elements of variables), ``bytes``, or a measure of the table: ``flops``, ``vjp_flops`` or ``macs``.
        Repeated calls count for the module that calls.

    Raises:
      UnknownMeasureError: the table does not have the quantity.

    Example:
      >>> from linen_summary import tabulate_store
      >>> table = tabulate_store({"params": {"a": jnp.ones(3), "b": {"c": jnp.ones(9)}}})
      >>> treemap(table).to_svg().count("<rect")
      4
    """
    return _chart("treemap", table, by)


def bars(table: Table, by: str = "size", top: int = 20) -> Chart:
    """Draw the modules with the largest shares of a quantity as bars. A module does not count its submodules.

    Args:
      table: a result of `summarize` or `tabulate_store`.
      by: as for `treemap`.
      top: number of modules that get a bar.

    Raises:
      UnknownMeasureError: the table does not have the quantity.

    Example:
      >>> from linen_summary import tabulate_store
      >>> table = tabulate_store({"params": {"a": jnp.ones(3), "b": {"c": jnp.ones(9)}}})
      >>> bars(table).bars()
      [('b', 9), ('Variables', 3)]
    """
    return dataclasses.replace(_chart("bars", table, by), top=top)


def _chart(kind: Literal["treemap", "bars"], table: Table, by: str) -> Chart:
    root, unknown = parts(table, by)
    units = {"size": "variables", "bytes": ""}  # a number of bytes already has its unit
    unit = units[by] if by in units else measures_by_name()[by].label
    title = f"{root.label}: {value_text(root.total, by)} {unit}".rstrip()
    return Chart(kind, by, title, root, tuple(unknown))
