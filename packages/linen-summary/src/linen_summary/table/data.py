"""Rows, and the sequence of rows behind a table. Nothing here is rendered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

import jax

from linen_core.module import Module
from linen_core.typing import Path
from linen_summary.costs.meter import measures_by_name
from linen_summary.text.values import sentence

__all__ = ["ArrayRepresentation", "ObjectRepresentation", "Row", "TableData"]

ArrayRepresentation = jax.ShapeDtypeStruct
"""The type of an array in a row, with the name that programs use from ``flax.linen.summary``."""


class ObjectRepresentation:
    """The type of another object in a row of flax. Rows of Linen hold the object itself.

    Attributes:
      obj: the object.

    Example:
      >>> ObjectRepresentation(3).obj
      3
    """

    def __init__(self, obj: Any) -> None:
        self.obj = obj


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a method of a module.

    Each measure is an attribute: ``flops``, ``vjp_flops``, ``macs``, ``activation_bytes`` and ``training_bytes``. Its
    value is an int, or None if it was not requested or is unknown. Rows are equal if they show the same, whatever
    fields their modules have.

    Example:
      >>> from linen_summary import summarize
      >>> row = summarize(nn.Dense(3), jax.random.key(0), jnp.ones((1, 2)), compute_macs=True)[0]
      >>> row.module_type, row.method, row.outputs, row.size, row.macs
      ('Dense', '__call__', ShapeDtypeStruct(shape=(1, 3), dtype=float32), 9, 6)
      >>> row.module_variables["params"]["bias"]
      ShapeDtypeStruct(shape=(3,), dtype=float32)
    """

    path: Path
    """Names from the root to the module. Empty for the root."""
    module_copy: Module | None = dataclasses.field(compare=False)
    """An unbound copy of the module. None in a table of a store, which has only variables."""
    method: str
    """Name of the method. Empty if the module has variables but was not called."""
    inputs: Any
    """The arguments, with a `jax.ShapeDtypeStruct` for each array: a single argument, a tuple of several, a dict of
    keyword arguments, or a tuple that ends in such a dict."""
    outputs: Any
    """The result of the method, with a `jax.ShapeDtypeStruct` for each array."""
    module_variables: dict[str, Any]
    """Specifications of the module's own variables by collection, without those of submodules. Empty for a further
    call of a module that already has a row."""
    counted_variables: dict[str, Any]
    """The variables that this row counts: its own, and those of submodules without a row."""
    index: int = 0
    """Number of calls of methods that began before."""
    calls: int = 1
    """Number of calls of methods of this module."""
    repeated: bool = False
    """True if the module has an earlier row, which counts its variables."""
    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The measures of the call by name."""
    unknown: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Why a measure is unknown, by its name."""

    def __getattr__(self, name: str) -> int | None:
        if name not in measures_by_name():
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=self)
        return self.numbers.get(name)

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path)

    @property
    def module_type(self) -> str:
        """Name of the module's class. Empty in a table of a store."""
        return "" if self.module_copy is None else type(self.module_copy).__name__

    @property
    def notes(self) -> list[str]:
        """A sentence for each measure that is unknown."""
        labels = {name: measure.label for name, measure in measures_by_name().items()}
        subject = self.name or self.module_type
        return [
            sentence(f"{labels[name]} of {subject}: {reason}")
            for name, reason in self.unknown.items()
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
        return _size_and_bytes(self.counted_variables)[0]

    @property
    def bytes(self) -> int:
        """Bytes of the counted variables."""
        return _size_and_bytes(self.counted_variables)[1]

    def size_and_bytes(self, collections: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Count the elements and bytes of the counted variables of each collection.

        Args:
          collections: names of collections. A collection that the row lacks has no elements.

        Example:
          >>> from linen_summary import summarize
          >>> row = summarize(nn.Dense(3), jax.random.key(0), jnp.ones((1, 2)))[0]
          >>> row.size_and_bytes(["params", "batch_stats"])
          {'params': (9, 36), 'batch_stats': (0, 0)}
        """
        return {name: _size_and_bytes(self.counted_variables.get(name)) for name in collections}

    def __hash__(self) -> int:
        return hash((self.path, self.method, self.index))


def _size_and_bytes(tree: Any) -> tuple[int, int]:
    arrays = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "size")]
    return (
        sum(array.size for array in arrays),
        sum(array.size * array.dtype.itemsize for array in arrays),
    )


@dataclasses.dataclass(frozen=True, repr=False)
class TableData(Sequence[Row]):
    """The rows of a table and their sums: the part of `Table` that its layouts read."""

    module: Module | None = dataclasses.field(compare=False)
    """The summarised module. None in a table of a store."""
    collections: tuple[str, ...]
    """Names of the collections of variables, sorted."""
    rows: tuple[Row, ...]
    """The rows."""
    measures: tuple[str, ...] = ()
    """Names of the requested measures, for example ``flops``. Each is an attribute of `Row`."""
    hidden_calls: int = 0
    """Number of further calls of modules with a row that have no row themselves."""
    title: str = ""
    """Title of the table."""

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Row | Self:
        if isinstance(index, slice):
            return dataclasses.replace(self, rows=self.rows[index])
        return self.rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def has_flops(self) -> bool:
        """True if FLOPs were requested."""
        return "flops" in self.measures

    @property
    def has_vjp_flops(self) -> bool:
        """True if FLOPs of vector-Jacobian products were requested."""
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
        """FLOPs of the whole run. None if unknown."""
        return self.total("flops")

    @property
    def vjp_flops(self) -> int | None:
        """FLOPs of the vector-Jacobian product of the whole run. None if unknown."""
        return self.total("vjp_flops")

    def total(self, measure: str) -> int | None:
        """Return a measure of the whole run, which is the measure of the root's first call. None if unknown.

        Args:
          measure: name of a measure.

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

    def sorted(self, key: str | Callable[[Row], Any], reverse: bool = False) -> Self:
        """Return the table with its rows in another order.

        Args:
          key: name of an attribute of `Row`, or a function of a row. Rows whose key is None come last.
          reverse: whether the largest comes first.

        Example:
          >>> from linen_summary import tabulate_store
          >>> table = tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}})
          >>> [row.name for row in table.sorted("size", reverse=True)]
          ['b', 'a']
        """
        value = (lambda row: getattr(row, key)) if isinstance(key, str) else key
        with_value = [row for row in self.rows if value(row) is not None]
        rest = [row for row in self.rows if value(row) is None]
        rows = (*sorted(with_value, key=value, reverse=reverse), *rest)
        return dataclasses.replace(self, rows=rows)

    def filter(self, keep: Callable[[Row], bool]) -> Self:
        """Return the table with only the rows for which a function returns True.

        Example:
          >>> from linen_summary import tabulate_store
          >>> table = tabulate_store({"params": {"a": {"w": jnp.ones(3)}, "b": {"w": jnp.ones(9)}}})
          >>> [row.name for row in table.filter(lambda row: row.size > 5)]
          ['b']
        """
        return dataclasses.replace(self, rows=tuple(filter(keep, self.rows)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.title!r}, {len(self)} rows)"
