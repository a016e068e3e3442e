"""Differences between the variables of two models or stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal, overload

import jax
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.meta import unbox
from linen_core.module import Module
from linen_core.typing import Path, PRNGKey, RNGSequences
from linen_summary.errors import MissingInputsError
from linen_summary.recording.calls import record_calls
from linen_summary.table.stores import Variables, specs_of
from linen_summary.table.summarize import ALL_BUT_INTERMEDIATES
from linen_summary.text.grids import Exportable, Grid
from linen_summary.text.values import plain_text

__all__ = ["Change", "Comparison", "compare"]

Kind = Literal["added", "removed", "reshaped", "recast", "reshaped and recast"]
_COLUMNS = ("change", "collection", "path", "first", "second")


@dataclasses.dataclass(frozen=True)
class Change:
    """One variable that differs.

    Example:
      >>> (change,) = compare({"params": {"w": jnp.ones(3)}}, {"params": {"w": jnp.ones(4)}})
      >>> change.kind, change.name, change.first.shape, change.second.shape
      ('reshaped', 'w', (3,), (4,))
    """

    kind: Kind
    """``added``, ``removed``, ``reshaped``, ``recast`` (another dtype), or ``reshaped and recast``."""
    collection: str
    """Name of its collection."""
    path: Path
    """Names from the collection to the variable."""
    first: jax.ShapeDtypeStruct | None
    """Its specification in the first. None if it is added."""
    second: jax.ShapeDtypeStruct | None
    """Its specification in the second. None if it is removed."""

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path)

    def cells(self) -> tuple[str, ...]:
        """Return the change as cells of a table."""
        sides = ["" if side is None else plain_text(side) for side in (self.first, self.second)]
        return (self.kind, self.collection, self.name, *sides)


@dataclasses.dataclass(frozen=True)
class Comparison(Sequence[Change], Exportable):
    """The changes, sorted by collection: variables of the first in their order, then added ones.

    Example:
      >>> first = {"params": {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}}
      >>> second = {"params": {"kernel": jnp.ones((3, 5)), "scale": jnp.ones(4)}}
      >>> for change in compare(first, second):
      ...     print(change.kind, change.name)
      removed bias
      reshaped kernel
      added scale
    """

    changes: tuple[Change, ...]
    """The variables that differ."""
    unchanged: int
    """Number of equal variables."""

    def __len__(self) -> int:
        return len(self.changes)

    @overload
    def __getitem__(self, index: int) -> Change: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Change, ...]: ...
    def __getitem__(self, index: int | slice) -> Change | tuple[Change, ...]:
        return self.changes[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    @property
    def title(self) -> str:
        """The result in one line."""
        if not self.changes:
            return f"No difference in {self.unchanged} variable{'s' * (self.unchanged != 1)}"
        return f"{len(self)} of {len(self) + self.unchanged} variables differ"

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as dicts, lists, strings and numbers.

        Example:
          >>> compare({"params": {"w": jnp.ones(3)}}, {"params": {"w": jnp.ones(4)}}).to_dict()["changes"]
          [{'change': 'reshaped', 'collection': 'params', 'path': 'w', 'first': 'float32[3]', 'second': 'float32[4]'}]
        """
        lines = (dict(zip(_COLUMNS, change.cells(), strict=True)) for change in self)
        return {"changes": list(lines), "unchanged": self.unchanged}

    def _grid(self) -> Grid:
        return Grid(self.title, _COLUMNS, [change.cells() for change in self])

    def __rich__(self) -> Any:
        if not self.changes:
            return self.title
        grid = RichTable(*_COLUMNS, title=self.title, title_justify="left", expand=False)
        for change in self:
            grid.add_row(*map(Text, change.cells()))
        return grid


def compare(
    first: Module | Variables,
    second: Module | Variables,
    rngs: PRNGKey | RNGSequences | None = None,
    *args: Any,
    **kwargs: Any,
) -> Comparison:
    """Compare variables by their specifications, without reading a value.

    Boxes such as `linen_core.Partitioned` are removed first.

    Args:
      first: a module, a store, a mapping of collections, or the path of a checkpoint.
      second: likewise.
      rngs: as for `Module.init`. Required if one of the two is a module.
      *args: arguments of a call of the module. Arrays, or `jax.ShapeDtypeStruct`.
      **kwargs: keyword arguments of the call.

    Raises:
      MissingInputsError: one of the two is a module, and ``rngs`` is missing.

    Example:
      >>> x = jax.ShapeDtypeStruct((1, 3), jnp.float32)
      >>> found = compare(nn.Dense(4), nn.Dense(4, param_dtype=jnp.bfloat16), jax.random.key(0), x)
      >>> [(change.kind, change.name) for change in found]
      [('recast', 'bias'), ('recast', 'kernel')]
    """
    sides = [_leaves(side, rngs, args, kwargs) for side in (first, second)]
    places = [*sides[0], *(place for place in sides[1] if place not in sides[0])]
    places.sort(key=lambda place: place[0])  # a stable sort keeps the order within a collection
    found = [_change(place, *(side.get(place) for side in sides)) for place in places]
    changes = tuple(change for change in found if change is not None)
    return Comparison(changes, len(places) - len(changes))


def _leaves(
    side: Any, rngs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[tuple[str, Path], Any]:
    """Return the specification of each array by collection and path."""
    if isinstance(side, Module):
        if rngs is None:
            raise MissingInputsError(type(side).__name__)
        _, specs = record_calls(side, rngs, args, {"mutable": ALL_BUT_INTERMEDIATES, **kwargs})
    else:
        specs = specs_of(side)
    return {
        (name, tuple(jax.tree_util.keystr((key,), simple=True) for key in path)): leaf
        for name, collection in specs.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(unbox(collection))
    }


def _change(place: tuple[str, Path], first: Any, second: Any) -> Change | None:
    if first is None or second is None:
        return Change("added" if first is None else "removed", *place, first, second)
    kinds = {"reshaped": "shape", "recast": "dtype"}
    found = [
        kind
        for kind, attribute in kinds.items()
        if getattr(first, attribute, None) != getattr(second, attribute, None)
    ]
    kind: Any = " and ".join(found)
    return Change(kind, *place, first, second) if found else None
