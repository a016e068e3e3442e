"""Where the strings of a TOML document are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["TomlString", "toml_strings"]

_TOML_MARK = re.compile(
    r"""
    \"{3} (?s: \\. | . )*? \"{3} | '{3} (?s: .*? ) '{3}     # strings of several lines
    | " (?: \\. | [^"\\] )* " | ' [^']* '
    | \# [^\n]* | [\[\]{}\n]
    """,
    re.VERBOSE,
)
"""The parts of a value that say where its strings are, and where it ends."""


class TomlString(NamedTuple):
    """A string value of a TOML document."""

    path: tuple[str, ...]
    """The table and the key."""
    start: int
    """The position of its first character, after the quote."""
    end: int
    """The position of the quote after its last character."""


def toml_strings(text: str) -> Iterator[TomlString]:
    r"""Yield the string values of a correct TOML document. Strings inside a value have the path of the value.

    Example:
      >>> text = '[project]\ndependencies = ["jax"]'
      >>> [(one.path, text[one.start : one.end]) for one in toml_strings(text)]
      [(('project', 'dependencies'), 'jax')]
    """
    table: tuple[str, ...] = ()
    index = 0
    while index < len(text):
        line_end = _find_or_end(text, "\n", index)
        line = text[index:line_end].strip()
        if not line or line.startswith("#"):
            index = line_end + 1
        elif line.startswith("["):
            table = _keys(line.partition("#")[0].strip().strip("[]"))
            index = line_end + 1
        else:
            value = _find_or_end(text, "=", index) + 1
            path = (*table, *_keys(text[index : value - 1]))
            spans, index = _scan_value(text, value)
            for start, end in spans:
                if not text[end:].lstrip("\"' \t").startswith("="):  # not a key of an inline table
                    yield TomlString(path, start, end)


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _find_or_end(text: str, part: str, start: int) -> int:
    index = text.find(part, start)
    return len(text) if index < 0 else index


def _scan_value(text: str, index: int) -> tuple[list[tuple[int, int]], int]:
    """Return the spans of the strings in a value, and the position after its line."""
    spans, depth = [], 0
    for found in _TOML_MARK.finditer(text, index):
        mark = found[0]
        if mark[0] in "\"'":
            quotes = 3 if mark.startswith(('"""', "'''")) else 1
            spans.append((found.start() + quotes, found.end() - quotes))
        elif mark == "\n" and depth == 0:
            return spans, found.end()
        else:
            depth += (mark in "[{") - (mark in "]}")
    return spans, len(text)
