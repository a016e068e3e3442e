"""Views that rename, select and move leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from linen_core import VariableStore, as_store
from linen_store.errors import PatternUnmatchedError, RenamePatternError
from linen_store.reading.stored import Names
from linen_store.views.entry import Leaf, StoreLike
from linen_store.views.view import View, find_entries

__all__ = [
    "drop",
    "in_order",
    "matching",
    "mount",
    "move",
    "opened_entries",
    "rename",
    "select",
    "split_name",
]


def split_name(joined: str) -> Names:
    """Return the parts of a name that is written with "/"."""
    return tuple(joined.split("/"))


def in_order(numbered: Iterable[tuple[str, str]]) -> list[str]:
    """Sort names by their numbers, which must be 0, 1, 2, ... without a hole.

    Args:
      numbered: pairs of a number, as a text, and a name.

    Raises:
      ValueError: a text is not a number, two names have the same number, or a number is missing.

    Example:
      >>> in_order([("1", "b_1"), ("0", "b_0")])
      ['b_0', 'b_1']
    """
    found: dict[int, str] = {}
    for text, name in numbered:
        if not text.isdecimal():
            msg = f"{name}: expected a number, found {text!r}"
            raise ValueError(msg)
        number = int(text)
        if number in found:
            msg = f"{found[number]} and {name} have the same number {number}"
            raise ValueError(msg)
        found[number] = name
    missing = [str(number) for number in range(max(found)) if number not in found]
    if missing:
        msg = (
            f"a hole in the stack: {', '.join(missing)} is missing, but {found[max(found)]} exists"
        )
        raise ValueError(msg)
    return [found[number] for number in sorted(found)]


def matching(
    argument: str, patterns: Iterable[str], entries: Iterable[Names], into: str | None = None
) -> Callable[[Names], bool]:
    """Return a function that says whether names, joined by "/", match one of several patterns.

    Raises:
      RenamePatternError: a pattern is not a regular expression.
      PatternUnmatchedError: a pattern does not match any of the entries.
    """
    joined = ["/".join(names) for names in entries]
    for pattern in patterns:
        try:
            is_matched = any(re.search(pattern, name) for name in joined)
        except re.error as error:
            raise RenamePatternError(pattern, into, str(error)) from error
        if not is_matched:
            raise PatternUnmatchedError(argument, pattern, None)
    return lambda names: any(re.search(pattern, "/".join(names)) for pattern in patterns)


def opened_entries(store: StoreLike) -> tuple[VariableStore, dict[Names, Leaf]]:
    """Return a store, and its leaves and empty nodes as entries of a view."""
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
    opened, entries = opened_entries(store)
    matching("rename", patterns, entries)
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
    opened, entries = opened_entries(store)
    is_kept = matching("select", patterns, entries)
    kept = [(names, entry) for names, entry in entries.items() if is_kept(names)]
    return View(kept, f"select of {opened!r}")


def drop(store: StoreLike, *patterns: str) -> View:
    """Leave out the arrays that match one of several patterns.

    Raises:
      PatternUnmatchedError: a pattern does not match any name.

    Example:
      >>> drop({"params": {"encoder": {"w": 1.0}, "head": {"w": 2.0}}}, "^params/head").snapshot()
      {'params': {'encoder': {'w': 1.0}}}
    """
    opened, entries = opened_entries(store)
    is_dropped = matching("drop", patterns, entries)
    kept = [(names, entry) for names, entry in entries.items() if not is_dropped(names)]
    return View(kept, f"drop of {opened!r}")


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
    opened, entries = opened_entries(store)
    old, new = _nonempty_parts(of), _nonempty_parts(at)
    moved = {
        (*new, *names[len(old) :]): entry
        for names, entry in entries.items()
        if names[: len(old)] == old
    }
    if not moved:
        raise PatternUnmatchedError("mount", of, None)
    return View(moved.items(), f"mount of {opened!r}")


def move(store: StoreLike, of: str, to: str) -> View:
    """Move a node, or an array, to another place; everything else stays where it is.

    Args:
      store: the store.
      of: the node to move, for example ``"params/trunk"``.
      to: the new place, for example ``"params/encoder/trunk"``.

    Raises:
      PatternUnmatchedError: nothing is at ``of``.
      ViewError: another array is in the new place.

    Example:
      >>> move({"params": {"w": 1.0, "head": {"w": 2.0}}}, "params/head", "params/top").snapshot()
      {'params': {'w': 1.0, 'top': {'w': 2.0}}}
    """
    opened, entries = opened_entries(store)
    old, new = _nonempty_parts(of), _nonempty_parts(to)
    is_moved = {names: names[: len(old)] == old for names in entries}
    if not any(is_moved.values()):
        raise PatternUnmatchedError("move", of, None)
    found = [
        ((*new, *names[len(old) :]) if is_moved[names] else names, entry)
        for names, entry in entries.items()
    ]
    return View(found, f"move of {opened!r}")


def _nonempty_parts(name: str) -> Names:
    return tuple(part for part in name.split("/") if part)
