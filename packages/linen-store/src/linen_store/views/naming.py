"""Views that rename, select and move leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from linen_core import VariableStore, as_store
from linen_store.errors import PatternUnmatchedError, RenamePatternError
from linen_store.reading.stored import Names
from linen_store.views.entry import Leaf, StoreLike
from linen_store.views.view import View, find_entries

__all__ = ["drop", "matching", "mount", "rename", "select", "split_name"]


def split_name(joined: str) -> Names:
    """Return the parts of a name that is written with "/"."""
    return tuple(joined.split("/"))


def matching(
    argument: str, patterns: Sequence[str], names: Sequence[str], into: str | None = None
) -> Callable[[str], bool]:
    """Return a function that says whether a name matches one of several patterns.

    Raises:
      RenamePatternError: a pattern is not a regular expression.
      PatternUnmatchedError: a pattern does not match any of the names.
    """
    for pattern in patterns:
        try:
            is_matched = any(re.search(pattern, name) for name in names)
        except re.error as error:
            raise RenamePatternError(pattern, into, str(error)) from error
        if not is_matched:
            raise PatternUnmatchedError(argument, pattern, None)
    return lambda name: any(re.search(pattern, name) for pattern in patterns)


def _of(store: StoreLike) -> tuple[VariableStore, dict[Names, Leaf]]:
    opened = as_store(store)
    return opened, find_entries(opened)


def rename(store: StoreLike, patterns: Mapping[str, str]) -> View:
    r"""Rename arrays.

    Args:
      store: the store.
      patterns: regular expressions and their replacements, applied in order to each name.

    Raises:
      ViewError: two arrays get the same name, or one gets a name below another.
      RenamePatternError: a pattern is not a regular expression, or the replacement does not suit it.
      PatternUnmatchedError: a pattern does not match any name.

    Example:
      >>> view = rename({"params": {"fc1": {"weight": 1.0}}}, {r"fc(\d)/weight": r"Dense_\1/kernel"})
      >>> view.snapshot()
      {'params': {'Dense_1': {'kernel': 1.0}}}
    """
    opened, entries = _of(store)
    matching("rename", list(patterns), ["/".join(names) for names in entries])
    found = []
    for names, entry in entries.items():
        joined = "/".join(names)
        for pattern, replacement in patterns.items():
            try:
                joined = re.sub(pattern, replacement, joined)
            except (re.error, IndexError) as error:
                raise RenamePatternError(pattern, replacement, str(error)) from error
        # A part of a name that is not changed may contain a slash.
        found.append((names if joined == "/".join(names) else split_name(joined), entry))
    return View(found, f"rename of {opened!r}")


def select(store: StoreLike, *patterns: str) -> View:
    """Keep the arrays that match one of several patterns.

    Raises:
      PatternUnmatchedError: a pattern does not match any name.

    Example:
      >>> select({"params": {"encoder": {"w": 1.0}, "head": {"w": 2.0}}}, "^params/head").snapshot()
      {'params': {'head': {'w': 2.0}}}
    """
    opened, entries = _of(store)
    is_kept = matching("select", patterns, ["/".join(names) for names in entries])
    kept = {names: entry for names, entry in entries.items() if is_kept("/".join(names))}
    return View(kept.items(), f"select of {opened!r}")


def drop(store: StoreLike, *patterns: str) -> View:
    """Leave out the arrays that match one of several patterns.

    Raises:
      PatternUnmatchedError: a pattern does not match any name.

    Example:
      >>> drop({"params": {"encoder": {"w": 1.0}, "head": {"w": 2.0}}}, "^params/head").snapshot()
      {'params': {'encoder': {'w': 1.0}}}
    """
    opened, entries = _of(store)
    is_dropped = matching("drop", patterns, ["/".join(names) for names in entries])
    kept = {names: entry for names, entry in entries.items() if not is_dropped("/".join(names))}
    return View(kept.items(), f"drop of {opened!r}")


def mount(store: StoreLike, at: str, of: str = "") -> View:
    """Move a node to another place; everything else is left out.

    Args:
      store: the store.
      at: the new place, for example ``"params/encoder"``.
      of: the node to move, for example ``"params"``; the whole store by default.

    Raises:
      PatternUnmatchedError: nothing is at ``of``.

    Example:
      >>> mount({"params": {"w": 1.0}}, at="params/trunk", of="params").snapshot()
      {'params': {'trunk': {'w': 1.0}}}
    """
    opened, entries = _of(store)
    old = tuple(part for part in of.split("/") if part)
    new = tuple(part for part in at.split("/") if part)
    moved = {
        (*new, *names[len(old) :]): entry
        for names, entry in entries.items()
        if names[: len(old)] == old
    }
    if not moved:
        raise PatternUnmatchedError("mount", of, None)
    return View(moved.items(), f"mount of {opened!r}")
