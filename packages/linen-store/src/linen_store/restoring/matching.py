"""Matches the variables that a model expects with the arrays of a store, by name, shape and kind of dtype."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore
from linen_store.errors import PatternUnmatchedError, RenameCollisionError, RenamePatternError
from linen_store.reading.specs import is_array_spec, render_spec
from linen_store.reading.stored import Names, Stored, arrays_of
from linen_store.restoring.closest import ClosestNames

__all__ = ["Row", "check_matched", "index_store", "match", "mismatches"]

_SUGGESTIONS = 20


class Row(NamedTuple):
    """One variable that is expected."""

    names: Names
    wanted: Any
    """Its spec, as the model would initialise it."""

    stored: Stored | None
    """The array of the store; None if it has none."""


def index_store(store: VariableStore, rename: Mapping[str, str | None]) -> dict[Names, Stored]:
    """List the arrays of a store by their names in the model.

    Raises:
      RenameCollisionError: two arrays get the same name.
      RenamePatternError: a pattern is not a regular expression.
      PatternUnmatchedError: a pattern does not match any name.
    """
    found: dict[Names, Stored] = {}
    matched: set[str] = set()
    stored = arrays_of(store)
    for one in stored:
        renamed = _renamed(one.names, rename, matched)
        if renamed is None:
            continue
        if renamed in found:
            raise RenameCollisionError(renamed, found[renamed].names, one.names)
        found[renamed] = one
    check_matched("rename", rename, matched, [one.names for one in stored])
    return found


def check_matched(
    argument: str, patterns: Iterable[str], matched: Collection[str], names: Sequence[Names]
) -> None:
    """Raise if a pattern does not match the name of any array.

    Raises:
      PatternUnmatchedError: one of them does not.
    """
    for pattern in patterns:
        if pattern not in matched:
            beginnings = {
                "/".join(name[:depth]) for name in names for depth in range(1, len(name) + 1)
            }
            parts = {part for name in names for part in name}
            letters = re.sub(r"\\.|[^\w/.-]", "", pattern).strip("/")
            closest = ClosestNames(sorted(beginnings | parts)).find(letters)
            raise PatternUnmatchedError(argument, pattern, closest)


def _renamed(names: Names, rename: Mapping[str, str | None], matched: set[str]) -> Names | None:
    """Rename an array, and add the patterns that match to ``matched``; None leaves the array out."""
    before = joined = "/".join(names)
    is_left_out = False
    for pattern, replacement in rename.items():
        try:
            if re.search(pattern, joined) is None:
                continue
            matched.add(pattern)
            if replacement is None:
                is_left_out = True
            elif not is_left_out:
                joined = re.sub(pattern, replacement, joined)
        except (re.error, IndexError) as error:
            raise RenamePatternError(pattern, replacement, str(error)) from error
    if is_left_out:
        return None
    return names if joined == before else tuple(joined.split("/"))


def match(names: Names, stored: Mapping[Names, Stored]) -> Stored | None:
    """Find the array of a variable, with or without its metadata box.

    A box, such as `linen_core.Partitioned`, stores its array under the name ``value``.
    """
    if names in stored:
        return stored[names]
    if names[-1:] == ("value",) and names[:-1] in stored:
        return stored[names[:-1]]
    return stored.get((*names, "value"))


def mismatches(
    rows: Sequence[Row], unused: Mapping[Names, Stored], missing: Sequence[Row], noun: str
) -> list[str]:
    """Describe arrays of another shape or kind, and missing ones.

    Args:
      rows: the expected variables.
      unused: the stored arrays that are not expected. The closest names are among them.
      missing: those of the rows that are not stored, and are not to be initialised.
      noun: the model or pytree, for the text.
    """
    problems = [
        f"{'/'.join(row.names)}: the store has {render_spec(row.stored.spec)}, "
        f"{noun} expects {render_spec(row.wanted)}"
        for row in rows
        if row.stored is not None and not _is_compatible(row.wanted, row.stored.spec)
    ]
    return [*problems, *_missing_lines(missing, unused, noun)]


def _missing_lines(
    missing: Sequence[Row], unused: Mapping[Names, Stored], noun: str
) -> Iterator[str]:
    candidates = ClosestNames(["/".join(name) for name in unused] if missing else [])
    for index, row in enumerate(missing):
        joined = "/".join(row.names)
        # Suggestions are slow to find: a long list gets them for its first lines only.
        close = candidates.find(joined) if index < _SUGGESTIONS else None
        hint = "" if close is None else f", the closest name is {close}"
        yield f"{joined}: missing, {noun} expects {render_spec(row.wanted)}{hint}"


def _is_compatible(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str)
    if not is_array_spec(found):
        return False
    shape, dtype = getattr(wanted, "shape", ()), getattr(wanted, "dtype", None)
    # Most formats store a Python number, such as the step of a train state, as an array without axes.
    same_kind = _dtype_kind(dtype or np.result_type(wanted)) == _dtype_kind(found.dtype)
    return shape == found.shape and same_kind


def _dtype_kind(dtype: Any) -> str:
    """Return the kind of number of a dtype: a model accepts any width of a kind."""
    kinds = (jax.dtypes.prng_key, jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    return next((str(kind) for kind in kinds if jnp.issubdtype(dtype, kind)), str(dtype))
