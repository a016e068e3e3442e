"""What differs between the variables of two models or stores."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, overload

import jax
from rich.table import Table as RichTable
from rich.text import Text

from linen_core.meta import unbox
from linen_core.module import Module
from linen_core.typing import Path, PRNGKey, RNGSequences
from linen_summary._grids import csv_text, html_text, markdown_text
from linen_summary._layout import plain_text
from linen_summary._recording import record_calls
from linen_summary._text import print_text
from linen_summary.errors import MissingInputsError
from linen_summary.stores import Variables, specs_of
from linen_summary.summarizing import ALL_BUT_INTERMEDIATES

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
    """``added`` or ``removed``, ``reshaped``, ``recast`` (another dtype), or the last two."""
    collection: str
    """The collection that it is in."""
    path: Path
    """Names that lead to it."""
    first: jax.ShapeDtypeStruct | None
    """What the first has there; None if it is added."""
    second: jax.ShapeDtypeStruct | None
    """What the second has there; None if it is removed."""

    @property
    def name(self) -> str:
        """The path, joined with slashes."""
        return "/".join(self.path)

    def cells(self) -> tuple[str, ...]:
        """Return what a line of a table says of the change."""
        sides = ["" if side is None else plain_text(side) for side in (self.first, self.second)]
        return (self.kind, self.collection, self.name, *sides)


@dataclasses.dataclass(frozen=True)
class Comparison(Sequence[Change]):
    """What differs, collection by collection: what the first has by its names, then what is added.

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
    """What differs."""
    unchanged: int
    """How many variables do not."""

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
        """What is found, in one line."""
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

    def to_json(self, indent: int | None = 2) -> str:
        """Return what `to_dict` gives as JSON.

        Args:
          indent: spaces before what is nested; all on one line if None.

        Example:
          >>> compare({"params": {}}, {"params": {}}).to_json(indent=None)
          '{"changes": [], "unchanged": 0}'
        """
        return json.dumps(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """Return the changes as comma-separated values under a line of names.

        Example:
          >>> print(compare({"params": {"w": jnp.ones(3)}}, {"params": {"w": jnp.ones(4)}}).to_csv().strip())
          change,collection,path,first,second
          reshaped,params,w,float32[3],float32[4]
        """
        return csv_text(_COLUMNS, (change.cells() for change in self))

    def to_markdown(self) -> str:
        """Return the changes as a table in GitHub's Markdown.

        Example:
          >>> found = compare({"params": {"w": jnp.ones(3)}}, {"params": {"w": jnp.ones(4)}})
          >>> print(found.to_markdown().splitlines()[-1])
          | reshaped | params | w | float32[3] | float32[4] |
        """
        return markdown_text(_COLUMNS, (change.cells() for change in self))

    def to_html(self) -> str:
        """Return the changes as an HTML table.

        Example:
          >>> compare({"params": {"w": jnp.ones(3)}}, {"params": {"w": jnp.ones(4)}}).to_html().count("<tr>")
          2
        """
        return html_text(self.title, _COLUMNS, (change.cells() for change in self))

    def __rich__(self) -> Any:
        if not self.changes:
            return self.title
        made = RichTable(*_COLUMNS, title=self.title, title_justify="left", expand=False)
        for change in self:
            made.add_row(*map(Text, change.cells()))
        return made

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return print_text(self)


def compare(
    first: Module | Variables,
    second: Module | Variables,
    rngs: PRNGKey | RNGSequences | None = None,
    *args: Any,
    **kwargs: Any,
) -> Comparison:
    """Find which variables are added, removed, reshaped or recast, from specifications alone.

    Boxes, such as `linen_core.Partitioned`, are taken off first.

    Args:
      first: a module, or variables: a store, a mapping of collections, the path of a checkpoint.
      second: likewise.
      rngs: as for `Module.init`, where a module is compared.
      *args: arguments of a call of the module; arrays, or `jax.ShapeDtypeStruct`.
      **kwargs: its keyword arguments.

    Raises:
      MissingInputsError: a module is compared, and ``rngs`` is not given.

    Example:
      >>> x = jax.ShapeDtypeStruct((1, 3), jnp.float32)
      >>> found = compare(nn.Dense(4), nn.Dense(4, param_dtype=jnp.bfloat16), jax.random.key(0), x)
      >>> [(change.kind, change.name) for change in found]
      [('recast', 'bias'), ('recast', 'kernel')]
    """
    sides = [_leaves(side, rngs, args, kwargs) for side in (first, second)]
    places = [*sides[0], *(place for place in sides[1] if place not in sides[0])]
    places.sort(key=lambda place: place[0])  # stable: in a collection the order stays
    found = [_change(place, *(side.get(place) for side in sides)) for place in places]
    changes = tuple(change for change in found if change is not None)
    return Comparison(changes, len(places) - len(changes))


def _leaves(
    side: Any, rngs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[tuple[str, Path], Any]:
    """Give the specification of each array, by collection and path."""
    if isinstance(side, Module):
        if rngs is None:
            raise MissingInputsError(type(side).__name__)
        _, specs = record_calls(side, rngs, args, {"mutable": ALL_BUT_INTERMEDIATES, **kwargs})
    else:
        specs = specs_of(side)
    return {
        (name, tuple(map(_key_text, path))): leaf
        for name, collection in specs.items()
        for path, leaf in jax.tree_util.tree_leaves_with_path(unbox(collection))
    }


def _key_text(key: Any) -> str:
    return jax.tree_util.keystr((key,), simple=True)


def _change(place: tuple[str, Path], first: Any, second: Any) -> Change | None:
    if first is None or second is None:
        return Change("added" if first is None else "removed", *place, first, second)
    kinds = [("reshaped", "shape"), ("recast", "dtype")]
    found = [
        kind for kind, what in kinds if getattr(first, what, None) != getattr(second, what, None)
    ]
    kind: Any = " and ".join(found)
    return Change(kind, *place, first, second) if found else None
