"""The table as data: what is known of each call, before anything is rendered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from linen_core.module import Module
from linen_core.typing import Path
from linen_summary._compact import Compact
from linen_summary._formats import to_csv, to_dict, to_html, to_json, to_markdown
from linen_summary._pictures import picture
from linen_summary._text import print_text
from linen_summary._values import MEASURE_NAMES, count, sentence

__all__ = ["Row", "Table"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a method of a module. Rows are equal if all that they say is, whatever fields their modules have.

    Example:
      >>> from linen_summary import summarize
      >>> row = summarize(nn.Dense(3), jax.random.key(0), jnp.ones((1, 2)), compute_macs=True)[0]
      >>> row.module_type, row.method, row.outputs, row.size, row.macs
      ('Dense', '__call__', ShapeDtypeStruct(shape=(1, 3), dtype=float32), 9, 6)
      >>> row.module_variables["params"]["bias"]
      ShapeDtypeStruct(shape=(3,), dtype=float32)
    """

    path: Path
    """Names from the root to the module; empty for the root."""
    module_copy: Module | None = dataclasses.field(compare=False)
    """An unbound copy of the module; None in a table of a store, which knows of variables alone."""
    method: str
    """Name of the method; empty where the module has variables but was not called itself."""
    inputs: Any
    """The arguments, with a `jax.ShapeDtypeStruct` for each array: the only one, a tuple of several, a dict of
    keyword arguments, or a tuple that ends in such a dict."""
    outputs: Any
    """What the method returned, likewise."""
    module_variables: dict[str, Any]
    """Specifications of the module's own variables by collection, without those of modules below it. Empty for a
    further call of a module that has a row already."""
    counted_variables: dict[str, Any]
    """The variables that this row counts: its own, and those of modules below it that have no row."""
    index: int = 0
    """How many calls of methods began before."""
    calls: int = 1
    """How often methods of this module were called in all."""
    repeated: bool = False
    """Whether the module has an earlier row; its variables are counted there."""
    flops: int | None = None
    """FLOPs of the call; None if not asked for, or unknown."""
    vjp_flops: int | None = None
    """FLOPs of the call and its vector-Jacobian product, likewise."""
    macs: int | None = None
    """Multiply-accumulate operations of the call's dots and convolutions, likewise."""
    activation_bytes: int | None = None
    """Estimate of the most bytes that values made in the call take at once, likewise."""
    training_bytes: int | None = None
    """The same estimate for the call and its vector-Jacobian product, without the gradients, likewise."""
    unknown: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Why a number is unknown, by its name."""

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path)

    @property
    def module_type(self) -> str:
        """Name of the module's class; empty in a table of a store."""
        return "" if self.module_copy is None else type(self.module_copy).__name__

    @property
    def notes(self) -> list[str]:
        """Why numbers are unknown, in a sentence for each."""
        of = f"of {self.name or self.module_type}"
        return [
            sentence(f"{MEASURE_NAMES[name]} {of}: {why}") for name, why in self.unknown.items()
        ]

    @property
    def flops_note(self) -> str:
        """Why `flops` is unknown."""
        return self.unknown.get("flops", "")

    @property
    def vjp_flops_note(self) -> str:
        """Why `vjp_flops` is unknown."""
        return self.unknown.get("vjp_flops", "")

    @property
    def size(self) -> int:
        """Number of elements of the counted variables."""
        return count(self.counted_variables)[0]

    @property
    def bytes(self) -> int:
        """Bytes of the counted variables."""
        return count(self.counted_variables)[1]

    def size_and_bytes(self, collections: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Count the elements and bytes of the counted variables of each collection.

        Args:
          collections: names of collections; those that the row has nothing of count as nothing.

        Example:
          >>> from linen_summary import summarize
          >>> row = summarize(nn.Dense(3), jax.random.key(0), jnp.ones((1, 2)))[0]
          >>> row.size_and_bytes(["params", "batch_stats"])
          {'params': (9, 36), 'batch_stats': (0, 0)}
        """
        return {name: count(self.counted_variables.get(name)) for name in collections}

    def __hash__(self) -> int:
        return hash((self.path, self.method, self.index))


@dataclasses.dataclass(frozen=True, repr=False)
class Table(Sequence[Row]):
    """A sequence of rows, in the order in which the calls began. Tables are equal if all rows and what they show are.

    Example:
      >>> import jax, linen_core as nn
      >>> from linen_summary import summarize
      >>> table = summarize(nn.Dense(3), jax.random.key(0), jax.numpy.ones((1, 2)))
      >>> [(row.name, row.module_type, row.size) for row in table], table.bytes
      ([('', 'Dense', 9)], 36)
    """

    module: Module | None = dataclasses.field(compare=False)
    """The module that was summarised; None in a table of a store."""
    collections: tuple[str, ...]
    """Names of the collections of variables, sorted."""
    rows: tuple[Row, ...]
    """The rows."""
    measures: tuple[str, ...] = ()
    """Names of the attributes of `Row` that were asked for: ``flops``, ``vjp_flops``, ``macs``, ``activation_bytes``,
    ``training_bytes``."""
    hidden_calls: int = 0
    """How many calls of modules that have a row are not shown."""
    title: str = ""
    """What the table is of."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Table: ...
    def __getitem__(self, index: int | slice) -> Row | Table:
        if isinstance(index, slice):
            return dataclasses.replace(self, rows=self.rows[index])
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def has_flops(self) -> bool:
        """Whether FLOPs were asked for."""
        return "flops" in self.measures

    @property
    def has_vjp_flops(self) -> bool:
        """Whether FLOPs of vector-Jacobian products were asked for."""
        return "vjp_flops" in self.measures

    @property
    def size(self) -> int:
        """Number of elements of all variables that the rows count."""
        return sum(row.size for row in self.rows)

    @property
    def bytes(self) -> int:
        """Bytes of all variables that the rows count."""
        return sum(row.bytes for row in self.rows)

    @property
    def flops(self) -> int | None:
        """FLOPs of the whole run; None if unknown."""
        return self.total("flops")

    @property
    def vjp_flops(self) -> int | None:
        """FLOPs of the vector-Jacobian product of the whole run, likewise."""
        return self.total("vjp_flops")

    def total(self, measure: str) -> int | None:
        """Return a measure of the whole run: that of the root's first call. None if unknown.

        Args:
          measure: the name of an attribute of `Row`.

        Example:
          >>> from linen_summary import summarize
          >>> table = summarize(nn.Dense(3), jax.random.key(0), jnp.ones((1, 2)), compute_macs=True)
          >>> table.total("macs")
          6
        """
        return next((getattr(row, measure) for row in self.rows if not row.path), None)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Count the elements and bytes of each collection over all rows.

        Example:
          >>> from linen_summary import summarize
          >>> summarize(nn.BatchNorm(True), jax.random.key(0), jnp.ones((1, 2))).totals()
          {'batch_stats': (4, 16), 'params': (4, 16)}
        """
        counts = [row.size_and_bytes(self.collections) for row in self.rows]
        return {
            name: (sum(c[name][0] for c in counts), sum(c[name][1] for c in counts))
            for name in self.collections
        }

    def sorted(self, key: str | Callable[[Row], Any], reverse: bool = False) -> Table:
        """Return the table with its rows in another order.

        Args:
          key: the name of an attribute of `Row`, or a function of a row. What is None comes last.
          reverse: whether the largest comes first.

        Example:
          >>> from linen_summary import tabulate_store
          >>> table = tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}})
          >>> [row.name for row in table.sorted("size", reverse=True)]
          ['b', 'a']
        """
        value = (lambda row: getattr(row, key)) if isinstance(key, str) else key
        known = [row for row in self.rows if value(row) is not None]
        rest = [row for row in self.rows if value(row) is None]
        rows = (*sorted(known, key=value, reverse=reverse), *rest)
        return dataclasses.replace(self, rows=rows)

    def filter(self, keep: Callable[[Row], bool]) -> Table:
        """Return the table with only the rows that a function says yes to.

        Example:
          >>> from linen_summary import tabulate_store
          >>> table = tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}})
          >>> [row.name for row in table.filter(lambda row: row.size > 5)]
          ['b']
        """
        return dataclasses.replace(self, rows=tuple(filter(keep, self.rows)))

    def to_dict(self) -> dict[str, Any]:
        """Return the table as dicts, lists, strings, numbers, booleans and None.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_dict()["totals"]
          {'size': {'params': 3}, 'bytes': {'params': 12}}
        """
        return to_dict(self)

    def to_json(self, indent: int | None = 2) -> str:
        """Return what `to_dict` gives as JSON.

        Args:
          indent: spaces before what is nested; all on one line if None.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_json(indent=None)[:23]
          '{"title": "Variables", '
        """
        return to_json(self, indent)

    def to_csv(self) -> str:
        """Return the rows as comma-separated values under a line of names, without totals.

        Example:
          >>> from linen_summary import tabulate_store
          >>> print(tabulate_store({"params": {"w": jnp.ones(3)}}).to_csv().strip())
          path,module,method,inputs,outputs,params,params size,params bytes
          ,,,,,w: float32[3],3,12
        """
        return to_csv(self)

    def to_markdown(self) -> str:
        """Return the rows and their totals as a table in GitHub's Markdown.

        Example:
          >>> from linen_summary import tabulate_store
          >>> print(tabulate_store({"params": {"w": jnp.ones(3)}}).to_markdown().splitlines()[-1])
          |  | Total |  |  |  |  | 3 | 12 |
        """
        return to_markdown(self)

    def to_html(self) -> str:
        """Return the rows and their totals as an HTML table.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_html().count("<tr>")
          3
        """
        return to_html(self)

    def to_svg(self, width: int = 100) -> str:
        """Return the table, as rich prints it, as a picture in SVG.

        Args:
          width: how many characters are on a line.

        Example:
          >>> from linen_summary import tabulate_store
          >>> tabulate_store({"params": {"w": jnp.ones(3)}}).to_svg().startswith("<svg")
          True
        """
        return picture(self, width, self.title)

    def __hash__(self) -> int:
        return hash((self.title, self.rows))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title!r}, {len(self)} rows)"

    def __rich__(self) -> Any:
        return Compact(self)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return print_text(self)
