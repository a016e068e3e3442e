"""Where the strings of a JSON document are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

__all__ = ["JsonString", "strings_of"]


class JsonString(NamedTuple):
    """A string of a JSON document."""

    path: tuple[str | int, ...]
    """The keys and indices that lead to it."""
    start: int
    """The position of its first quote."""
    end: int
    """The position after its last quote."""
    value: str
    """Its value."""


def strings_of(text: str) -> Iterator[JsonString]:
    """Yield the strings of a JSON document, in its order, without its keys.

    Example:
      >>> [(one.path, one.value) for one in strings_of('{"a": ["b", 1]}')]
      [(('a', 0), 'b')]

    Raises:
      ValueError: the text is not JSON.
    """
    json.loads(text)  # The walk below relies on correct syntax.
    path: list[str | int] = []
    is_key = False
    index = 0
    while index < len(text):
        char = text[index]
        if char == '"':
            value, end = scanstring(text, index + 1)
            if is_key:
                path[-1], is_key = value, False
            else:
                yield JsonString(tuple(path), index, end, value)
            index = end
            continue
        if char in "{[":
            is_key = char == "{"
            path.append("" if is_key else 0)
        elif char in "}]":
            path.pop()
            is_key = False
        elif char == ",":
            last = path[-1]
            is_key = isinstance(last, str)
            path[-1] = last if isinstance(last, str) else last + 1
        index += 1
