"""A table as a tree of modules, each with its share of a quantity."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator

from linen_core.typing import Path
from linen_summary.costs.meter import measures_by_name
from linen_summary.errors import UnknownMeasureError
from linen_summary.table.data import TableData
from linen_summary.text.values import bytes_text, short_number

__all__ = ["Part", "parts", "value_text"]


@dataclasses.dataclass
class Part:
    """A module and its submodules."""

    path: Path
    """Names from the root."""
    label: str
    """Its name within its parent."""
    own: int = 0
    """Its quantity without the parts in it."""
    inside: list[Part] = dataclasses.field(default_factory=list)
    """The parts in it."""

    @property
    def total(self) -> int:
        """Its quantity with all the parts in it."""
        return self.own + sum(part.total for part in self.inside)

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path) or self.label

    def every(self) -> Iterator[Part]:
        """Yield the part and all the parts in it."""
        yield self
        for part in self.inside:
            yield from part.every()


def parts(table: TableData, by: str) -> tuple[Part, list[str]]:
    """Split a quantity over the modules of a table.

    A row's count of operations includes those of its submodules. They are subtracted to find the module's own share.

    Args:
      table: the table.
      by: ``size``, ``bytes``, or a measure of the table that includes submodules.

    Returns:
      The root, and the names of the modules whose number is unknown.

    Raises:
      UnknownMeasureError: the table does not have the quantity.
    """
    measures = measures_by_name()
    inclusive = [name for name in table.measures if measures[name].includes_submodules]
    if by not in ("size", "bytes", *inclusive):
        raise UnknownMeasureError(by, ("size", "bytes", *inclusive))
    root = Part((), table.title.removesuffix(" Summary"))
    by_path: dict[Path, Part] = {(): root}
    measured: set[Path] = set()
    unknown = []
    for row in table:
        part = _part(row.path, by_path)
        number = getattr(row, by)
        if number is None:
            unknown.append(row.name or part.label)
        elif not row.repeated:
            part.own = number
            measured.add(row.path)
    if by in inclusive:
        _subtract_inner(root, measured)
    return root, unknown


def _part(path: Path, by_path: dict[Path, Part]) -> Part:
    """Return the part at a path, and create it and its parents if they are missing."""
    if path not in by_path:
        by_path[path] = Part(path, path[-1])
        _part(path[:-1], by_path).inside.append(by_path[path])
    return by_path[path]


def _subtract_inner(part: Part, measured: Container[Path]) -> int:
    """Subtract from each measured part the quantities of the parts in it, and return its total."""
    inside = sum(_subtract_inner(inner, measured) for inner in part.inside)
    if part.path in measured:
        part.own = max(0, part.own - inside)
    return part.own + inside


def value_text(number: int, by: str) -> str:
    """Format a number of a quantity with its unit."""
    texts = {"size": short_number, "bytes": bytes_text}
    return (texts.get(by) or measures_by_name()[by].text)(number)
