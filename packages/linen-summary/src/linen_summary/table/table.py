"""`Table`: the rows with everything that a user does with them."""

from __future__ import annotations

import math
from typing import Any

from linen_summary.costs.meter import measures_by_name
from linen_summary.table.compact import Compact
from linen_summary.table.data import Row, TableData
from linen_summary.text.grids import Exportable, Grid
from linen_summary.text.printing import print_svg
from linen_summary.text.values import Layout, plain, plain_text

__all__ = ["Table"]


class Table(TableData, Exportable):
    """A sequence of rows, in the order in which the calls began.

    Tables are equal if their rows and everything they show are.

    Example:
      >>> import jax, linen_core as nn
      >>> from linen_summary import summarize
      >>> table = summarize(nn.Dense(3), jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> [(row.name, row.module_type, row.size) for row in table], table.bytes
      ([('', 'Dense', 9)], 36)
    """

    def to_dict(self) -> dict[str, Any]:
        """Return the table as dicts, lists, strings, numbers, booleans and None.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_dict()["totals"]
          {'size': {'params': 3}, 'bytes': {'params': 12}}
        """
        measures = measures_by_name()
        totals = self.totals()
        contents = {
            "title": self.title,
            "module": None if self.module is None else type(self.module).__name__,
            "collections": list(self.collections),
            "rows": [self._row_dict(row) for row in self],
            "totals": {
                "size": {name: size for name, (size, _) in totals.items()},
                "bytes": {name: number for name, (_, number) in totals.items()},
                **{name: self.total(name) for name in self.measures},
            },
            "hidden_calls": self.hidden_calls,
        }
        estimated = [name for name in self.measures if measures[name].estimate_note]
        return {**contents, "estimated": estimated} if estimated else contents

    def to_svg(self, width: int = 100) -> str:
        """Return the table as rich prints it, as an SVG picture.

        Args:
          width: characters per line.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_svg().startswith("<svg")
          True
        """
        return print_svg(self, width, self.title)

    def __rich__(self) -> Any:
        return Compact(self)

    def _row_dict(self, row: Row) -> dict[str, Any]:
        counts = row.size_and_bytes(self.collections)
        contents = {
            "path": row.name,
            "module": row.module_type,
            "method": row.method,
            "calls": row.calls,
            "repeated": row.repeated,
            "inputs": _jsonable(plain(row.inputs)),
            "outputs": _jsonable(plain(row.outputs)),
            "variables": _jsonable(plain(row.module_variables)),
            "size": {name: size for name, (size, _) in counts.items()},
            "bytes": {name: number for name, (_, number) in counts.items()},
            **{name: getattr(row, name) for name in self.measures},
        }
        return {**contents, "unknown": dict(row.unknown)} if row.unknown else contents

    def _grid(self) -> Grid:
        measures = [measures_by_name()[name].column for name in self.measures]
        counts = [f"{name} {unit}" for name in self.collections for unit in ("size", "bytes")]
        header = ["path", "module", "method", "inputs", "outputs", *measures, *self.collections]
        rows = [self._cells(row) for row in self]
        total: list[str | int] = [
            *("", "Total", "", "", ""),
            *(_number_cell(self.total(name)) for name in self.measures),
            *("" for _ in self.collections),
            *(number for numbers in self.totals().values() for number in numbers),
        ]
        if any(row.unknown for row in self):
            for cells, row in zip(rows, self, strict=True):
                cells.append("\n".join(f"{name}: {why}" for name, why in row.unknown.items()))
            return Grid(self.title, [*header, *counts, "unknown"], rows, [*total, ""])
        return Grid(self.title, [*header, *counts], rows, total)

    def _cells(self, row: Row) -> list[str | int]:
        counts = row.size_and_bytes(self.collections)
        write = Layout().write
        return [
            row.name,
            row.module_type,
            row.method,
            write(row.inputs),
            write(row.outputs),
            *(_number_cell(getattr(row, name)) for name in self.measures),
            *(write(row.module_variables.get(name)) for name in self.collections),
            *(number for name in self.collections for number in counts[name]),
        ]


def _number_cell(number: int | None) -> int | str:
    return "" if number is None else number


def _jsonable(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _jsonable(item) for key, item in tree.items()}
    if isinstance(tree, tuple):
        return [_jsonable(item) for item in tree]
    is_number = isinstance(tree, bool | int | float) and math.isfinite(tree)  # JSON has no others
    return tree if tree is None or is_number else plain_text(tree)
