"""Cells of a rich table that are laid out once, however often they occur."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment

__all__ = ["Cell"]


class Cell:
    """Text with markup that renders as a plain string would.

    Most of the time of a long table goes into cells that it has many times: those of equal layers. Handing the same
    object to the table for them spares that.

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
