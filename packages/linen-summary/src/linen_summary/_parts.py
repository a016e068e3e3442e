"""A table as a tree of modules, each with its share of a number."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

from linen_core.typing import Path
from linen_summary._values import bytes_text, short_number
from linen_summary.errors import UnknownMeasureError

if TYPE_CHECKING:
    from linen_summary.table import Table

__all__ = ["Part", "parts", "value_text"]

_ADDITIVE = ("flops", "vjp_flops", "macs")


@dataclasses.dataclass
class Part:
    """A module, and the modules in it."""

    path: Path
    """Names from the root."""
    label: str
    """Its name within the part above."""
    own: int = 0
    """What it has beside the parts in it."""
    inside: list[Part] = dataclasses.field(default_factory=list)
    """The parts in it."""

    @property
    def total(self) -> int:
        """What it has with all the parts in it."""
        return self.own + sum(part.total for part in self.inside)

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path) or self.label

    def every(self) -> Iterator[Part]:
        """Give the part and all the parts in it."""
        yield self
        for part in self.inside:
            yield from part.every()


def parts(table: Table, by: str) -> tuple[Part, list[str]]:
    """Split a number over the modules of a table.

    A count of operations that a row gives is that of the module and of all it calls: its own share is what remains.

    Args:
      table: the table.
      by: ``size``, ``bytes``, or one of ``flops``, ``vjp_flops`` and ``macs`` that the table has.

    Returns:
      The root, and the names of the modules whose number is unknown.

    Raises:
      UnknownMeasureError: the table has no such number.
    """
    counted = tuple(name for name in _ADDITIVE if name in table.measures)
    if by not in ("size", "bytes", *counted):
        raise UnknownMeasureError(by, ("size", "bytes", *counted))
    root = Part((), table.title.removesuffix(" Summary"))
    known: dict[Path, Part] = {(): root}
    counted_paths: set[Path] = set()
    unknown = []
    for row in table:
        part = _part(row.path, known)
        number = getattr(row, by)
        if number is None:
            unknown.append(row.name or part.label)
        elif not row.repeated:
            part.own = number
            counted_paths.add(row.path)
    if by in counted:
        _subtract(root, counted_paths)
    return root, unknown


def _part(path: Path, known: dict[Path, Part]) -> Part:
    if path not in known:
        known[path] = Part(path, path[-1])
        _part(path[:-1], known).inside.append(known[path])
    return known[path]


def _subtract(part: Part, counted: Container[Path]) -> int:
    """Leave to each part what the parts in it do not have, and return what it has with them."""
    inside = sum(_subtract(inner, counted) for inner in part.inside)
    if part.path in counted:
        part.own = max(0, part.own - inside)
    return part.own + inside


def value_text(number: int, by: str) -> str:
    """Render a number with a unit."""
    return bytes_text(number) if by == "bytes" else short_number(number)
