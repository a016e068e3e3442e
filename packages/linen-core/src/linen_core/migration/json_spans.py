"""Where the strings of a JSON document are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["JsonString", "strings_of"]

_JSON_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]')


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
    """Yield the strings of a correct JSON document, in its order, without its keys.

    Example:
      >>> [(one.path, one.value) for one in strings_of('{"a": ["b", 1]}')]
      [(('a', 0), 'b')]
    """
    path: list[str | int] = []
    is_key = False
    for found in _JSON_MARK.finditer(text):
        mark = found[0]
        if mark[0] == '"' and is_key:
            path[-1], is_key = json.loads(mark), False
        elif mark[0] == '"':
            yield JsonString(tuple(path), *found.span(), json.loads(mark))
        elif mark in "{[":
            is_key = mark == "{"
            path.append("" if is_key else 0)
        elif mark in "}]":
            path.pop()
            is_key = False
        else:
            last = path[-1]
            is_key = isinstance(last, str)
            path[-1] = last if isinstance(last, str) else last + 1
