"""Where the parameters and the FLOPs of a model are, as a picture: in SVG, in HTML, in the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from linen_summary._drawing import Bar, as_page, bars_svg, treemap_svg
from linen_summary._parts import Part, parts, value_text
from linen_summary._text import print_text
from linen_summary._tiles import tile_lines
from linen_summary.table import Table

__all__ = ["Chart", "bars", "treemap"]

_WORDS = {
    "size": "variables",
    "bytes": "bytes",
    "flops": "FLOPs",
    "vjp_flops": "VJP FLOPs",
    "macs": "MACs",
}
_BLOCKS = " ▏▎▍▌▋▊▉"


@dataclasses.dataclass(frozen=True)
class Chart:
    """A picture of how a number is spread over the modules of a table; `treemap` and `bars` make it.

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
    """How it is drawn."""
    by: str
    """The number: the name of an attribute of `Row`."""
    title: str
    """What it shows."""
    root: Part
    """The whole, with the parts in it."""
    unknown: tuple[str, ...] = ()
    """Names of the modules whose number is unknown, and which are left out."""
    top: int = 20
    """How many bars there are at most; the rest share one more."""

    def to_svg(self, width: int = 900, height: int = 500) -> str:
        """Draw it as SVG; the numbers stand in tooltips too.

        Args:
          width: in pixels.
          height: of a treemap, in pixels; bars are as high as there are many.

        Example:
          >>> from linen_summary import tabulate_store
          >>> bars(tabulate_store({"params": {"w": jnp.ones(3)}})).to_svg(width=300).startswith("<svg")
          True
        """
        if self.kind == "treemap":
            return treemap_svg(self.root, self.by, self.title, width, height)
        return bars_svg(self.bars(), self.root.total, self.by, self.title, width)

    def to_html(self, width: int = 900, height: int = 500) -> str:
        """Draw it in an HTML page, which can save it as PNG.

        Args:
          width: in pixels, as for `to_svg`.
          height: likewise.

        Example:
          >>> from linen_summary import tabulate_store
          >>> "Save as PNG" in bars(tabulate_store({"params": {"w": jnp.ones(3)}})).to_html()
          True
        """
        return as_page(self.to_svg(width, height), self.title)

    def bars(self) -> list[Bar]:
        """Return names and numbers of modules, without the modules in them, the largest first.

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
        yield from self._notes()

    def _bar_table(self, width: int) -> RichTable:
        made = RichTable.grid(padding=(0, 1))
        made.add_column(no_wrap=True, overflow="ellipsis")
        made.add_column(no_wrap=True)
        made.add_column(no_wrap=True, justify="right")
        made.add_column(no_wrap=True, justify="right")
        found = self.bars()
        largest = max((number for _, number in found), default=0) or 1
        for name, number in found:
            full, eighths = divmod(round(8 * width * number / largest), 8)
            bar = "█" * full + _BLOCKS[eighths].strip()
            share = f"{100 * number / self.root.total:.1f}%"
            made.add_row(Text(name), Text(bar, "blue"), value_text(number, self.by), share)
        return made

    def _notes(self) -> Iterator[Text]:
        if self.unknown:
            yield Text(f"Unknown, and left out: {', '.join(self.unknown)}", style="italic")

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        return print_text(self)


def treemap(table: Table, by: str = "size") -> Chart:
    """Draw modules as nested rectangles whose areas are their shares of a number.

    Args:
      table: what `summarize` or `tabulate_store` gives.
      by: ``size`` (elements of variables), ``bytes``, or one of ``flops``, ``vjp_flops`` and ``macs`` that the table
        has. Repeated calls count for the module that makes them.

    Raises:
      UnknownMeasureError: the table has no such number.

    Example:
      >>> from linen_summary import tabulate_store
      >>> table = tabulate_store({"params": {"a": jnp.ones(3), "b": {"c": jnp.ones(9)}}})
      >>> treemap(table).to_svg().count("<rect")
      4
    """
    return _chart("treemap", table, by)


def bars(table: Table, by: str = "size", top: int = 20) -> Chart:
    """Draw the modules with the largest shares of a number as bars; a module does not count those in it.

    Args:
      table: what `summarize` or `tabulate_store` gives.
      by: as for `treemap`.
      top: how many modules get a bar of their own.

    Raises:
      UnknownMeasureError: the table has no such number.

    Example:
      >>> from linen_summary import tabulate_store
      >>> table = tabulate_store({"params": {"a": jnp.ones(3), "b": {"c": jnp.ones(9)}}})
      >>> bars(table).bars()
      [('b', 9), ('Variables', 3)]
    """
    return dataclasses.replace(_chart("bars", table, by), top=top)


def _chart(kind: Literal["treemap", "bars"], table: Table, by: str) -> Chart:
    root, unknown = parts(table, by)
    title = f"{root.label}: {value_text(root.total, by)}"
    title += "" if by == "bytes" else f" {_WORDS[by]}"
    return Chart(kind, by, title, root, tuple(unknown))
