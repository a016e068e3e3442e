"""Where the strings of a TOML document are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["TomlString", "toml_strings"]

_QUOTES = ('"""', "'''", '"', "'")


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
    while index < len(text):
        char = text[index]
        quote = next((mark for mark in _QUOTES if text.startswith(mark, index)), None)
        if quote is not None:
            start = index + len(quote)
            end = _end_of_string(text, start, quote)
            spans.append((start, end))
            index = end + len(quote)
            continue
        if char == "#":
            index = _find_or_end(text, "\n", index)
            continue
        depth += (char in "[{") - (char in "]}")
        index += 1
        if char == "\n" and depth == 0:
            break
    return spans, index


def _end_of_string(text: str, index: int, quote: str) -> int:
    while index < len(text) and not text.startswith(quote, index):
        index += 2 if text[index] == "\\" and quote[0] == '"' else 1
    return index
