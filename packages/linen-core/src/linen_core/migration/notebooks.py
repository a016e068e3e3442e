"""Rewrites the code cells of notebooks. Outputs, metadata and other cells keep their bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from linen_core.migration.findings import Finding, Rewrite, UnreadableError
from linen_core.migration.json_spans import JsonString, strings_of
from linen_core.migration.python_files import find_edits, mentions_packages, packages_of, parse
from linen_core.migration.source_text import Edit, apply_edits

__all__ = ["rewrite_notebook"]

_CELL_MAGICS_OF_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


class _Cell:
    """A code cell: its number, the strings of its source, and the same source as plain Python."""

    def __init__(self, number: int, strings: Sequence[JsonString]) -> None:
        self.number = number
        self.strings = strings
        self.text = "".join(string.value for string in strings)
        self.python = self.text
        self.magics: list[tuple[int, str]] = []
        self.error: Finding | None = None
        try:
            parse(self.text)
        except UnreadableError:
            self._hide_magics()

    def _hide_magics(self) -> None:
        lines = self.text.split("\n")
        first = next((line for line in lines if line.strip()), "")
        if first.startswith("%%") and first.split()[0] not in _CELL_MAGICS_OF_PYTHON:
            self.magics = list(enumerate(lines, 1))
            self.python = ""
            return
        hidden, goes_on = [], False
        for number, line in enumerate(lines, 1):
            start = 0 if goes_on else _start_of_magic(line)
            if start is None:
                hidden.append(line)
                continue
            self.magics.append((number, line))
            goes_on = line.endswith("\\")
            # Every byte is kept in its place: `!ls` is as long as `0##`.
            hidden.append(line[:start] + "0".ljust(len(line[start:].encode()), "#"))
        self.python = "\n".join(hidden)
        try:
            parse(self.python)
        except UnreadableError as error:
            self.error = Finding(1, str(error), cell=self.number)
            self.python = ""


def _start_of_magic(line: str) -> int | None:
    """Return where IPython syntax begins in a line; None if it is Python."""
    stripped = line.strip()
    indent = len(line) - len(line.lstrip())
    if stripped.startswith(("%", "!", "?")) or (stripped.endswith("?") and "#" not in stripped):
        return indent
    left, equals, right = line.partition("=")
    if equals and right.lstrip().startswith(("%", "!")):
        return len(left) + 1 + len(right) - len(right.lstrip())
    return None


def rewrite_notebook(data: bytes) -> Rewrite:
    """Rewrite the code cells of a notebook, which share their names.

    Raises:
      UnreadableError: it is not a notebook of format 4, or a cell does not parse.

    Example:
      >>> cell = b'{"cell_type": "code", "source": ["import flax.linen as nn"]}'
      >>> rewrite_notebook(b'{"nbformat": 4, "cells": [' + cell + b"]}").data.partition(b"source")[2]
      b'": ["import linen_core as nn"]}]}'
    """
    if not mentions_packages(data):
        return Rewrite(data, [])
    try:
        text = data.decode()
        cells = list(_code_cells(text))
    except (ValueError, RecursionError) as error:
        msg = f"Cannot be read as a notebook: {error}. Save it with Jupyter in format 4."
        raise UnreadableError(msg) from error
    python = "\n".join(cell.python for cell in cells)
    edits, findings = find_edits(python)
    new: list[Edit] = []
    start, first_line = 0, 1
    placed = [cell.error for cell in cells if cell.error is not None]
    for cell in cells:
        length, lines = len(cell.python.encode()), cell.python.count("\n") + 1
        inside = [
            Edit(edit.start - start, edit.end - start, edit.text)
            for edit in edits
            if start <= edit.start and edit.end <= start + length
        ]
        new += _edit_strings(text, cell, inside)
        placed += [
            finding._replace(line=finding.line - first_line + 1, cell=cell.number)
            for finding in findings
            if first_line <= finding.line < first_line + lines
        ]
        placed += _findings_in_magics(cell)
        start, first_line = start + length + 1, first_line + lines
    packages = packages_of(parse(apply_edits(python.encode(), edits).decode()))
    if any(cell.error for cell in cells):
        packages |= {"flax"}
    return Rewrite(apply_edits(text, new).encode(), placed, packages)


def _code_cells(text: str) -> Iterator[_Cell]:
    content = json.loads(text)
    if not isinstance(content, dict) or content.get("nbformat") != 4:
        msg = "it has no cells of format 4"
        raise ValueError(msg)
    sources: dict[int, list[JsonString]] = {}
    for string in strings_of(text):
        match string.path:
            case ("cells", int(number), "source", *rest) if len(rest) < 2:
                sources.setdefault(number, []).append(string)
    for number, strings in sources.items():
        if content["cells"][number].get("cell_type") == "code":
            yield _Cell(number + 1, strings)


def _findings_in_magics(cell: _Cell) -> Iterator[Finding]:
    for line, text in cell.magics:
        words = text.replace(".", " ").replace("=", " ").split()
        if "flax" in [word.strip("\"'[]<>!(),;") for word in words]:
            message = f"`{text.strip()}` is not Python and is left. Change it to Linen's packages."
            yield Finding(line, message, cell=cell.number)


def _edit_strings(text: str, cell: _Cell, edits: Sequence[Edit]) -> Iterator[Edit]:
    """Yield the edits of the JSON. One over several lines joins their strings."""
    position = 0
    bounds = []
    for string in cell.strings:
        size = len(string.value.encode())
        bounds.append((position, position + size))
        position += size
    groups: list[tuple[int, int, list[Edit]]] = []
    for edit in sorted(edits):
        first = next(i for i, (_, end) in enumerate(bounds) if edit.start < end)
        last = next(i for i, (_, end) in enumerate(bounds) if edit.end <= end)
        if groups and first <= groups[-1][1]:
            first, _, before = groups.pop()
            groups.append((first, last, [*before, edit]))
        else:
            groups.append((first, last, [edit]))
    for first, last, group in groups:
        offset = bounds[first][0]
        old = cell.text.encode()[offset : bounds[last][1]]
        moved = [Edit(e.start - offset, e.end - offset, e.text) for e in group]
        new = apply_edits(old, moved).decode()
        start, end = cell.strings[first].start, cell.strings[last].end
        yield Edit(start, end, _as_json(text, cell.strings, new))


def _as_json(text: str, strings: Sequence[JsonString], source: str) -> str:
    """Return source as the strings of a list, one a line, or as one string, as the cell has it."""
    is_list = len(strings[0].path) == 4
    lines = source.splitlines(keepends=True) if is_list else [source]
    before = text[: strings[0].start]
    separator = "," + (before[len(before.rstrip()) :] or " ")
    if len(strings) > 1:
        separator = text[strings[0].end : strings[1].start]
    return separator.join(json.dumps(line, ensure_ascii=text.isascii()) for line in lines)
