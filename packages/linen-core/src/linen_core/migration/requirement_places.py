"""Where requirements are in files of each format."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from linen_core.migration.toml_strings import toml_strings

__all__ = ["Place", "distribution_of", "finder_of", "numbered_lines"]

_LISTS_OF_SETUP = ("install_requires", "setup_requires", "tests_require")


class Place(NamedTuple):
    """A requirement in a file."""

    start: int
    """The position of its first character."""
    end: int
    """The position after its last character."""
    separator: str
    """The text between it and another requirement."""
    line: int
    """Its line, from 1."""


def finder_of(path: str) -> Callable[[str], Iterator[Place]] | None:
    r"""Return the function that finds the requirements in a file; None for other files.

    Example:
      >>> list(finder_of("requirements.txt")("jax"))
      [Place(start=0, end=3, separator='\n', line=1)]
    """
    name = os.path.basename(path)
    if name == "pyproject.toml":
        return _in_pyproject
    if name == "setup.cfg":
        return _in_setup_cfg
    if fnmatch.fnmatchcase(name, "environment*.y*ml"):
        return _in_environment
    folder = os.path.basename(os.path.dirname(path))
    if name.endswith((".txt", ".in")) and ("requirements" in name or folder == "requirements"):
        return _in_requirements
    return None


def distribution_of(requirement: str) -> str:
    """Return the normalised name of a requirement.

    Example:
      >>> distribution_of("Flax[all] >= 0.8")
      'flax'
    """
    name = re.match(r"[\w.-]*", requirement)
    return re.sub("[_.]", "-", name[0].lower()) if name else ""


def numbered_lines(text: str) -> Iterator[tuple[int, int, str]]:
    r"""Yield the number, the position and the content of each line.

    Example:
      >>> list(numbered_lines("a\nb"))
      [(1, 0, 'a'), (2, 2, 'b')]
    """
    position = 0
    for number, line in enumerate(text.split("\n"), 1):
        yield number, position, line.removesuffix("\r")
        position += len(line) + 1


def _place(text: str, number: int, position: int, line: str, skipped: int) -> Place:
    """Return the requirement of a line that begins after `skipped` characters."""
    content = line[skipped:]
    start = position + skipped + len(content) - len(content.lstrip())
    content = content.partition(" #")[0].partition("\t#")[0].strip()
    newline = "\r\n" if "\r\n" in text else "\n"
    prefix = line[: start - position]
    is_key = prefix.strip() not in {"", "-", '- "', "- '"}
    end = start + len(content)
    quote = prefix[-1:] if prefix[-1:] in {'"', "'"} else ""
    if quote and content.endswith(quote):
        end -= 1
    separator = f"{newline}    " if is_key else quote + newline + prefix
    return Place(start, end, separator, number)


def _in_requirements(text: str) -> Iterator[Place]:
    for number, position, line in numbered_lines(text):
        yield _place(text, number, position, line, 0)


def _in_environment(text: str) -> Iterator[Place]:
    for number, position, line in numbered_lines(text):
        item = re.match(r"""\s*- \s*["']?""", line)
        if item is not None:
            yield _place(text, number, position, line, item.end())


def _in_setup_cfg(text: str) -> Iterator[Place]:
    section = key = ""
    for number, position, line in numbered_lines(text):
        if line.startswith("["):
            section, key = line.strip("[] \t"), ""
            continue
        skipped = 0
        if line[:1].strip() and not line.startswith(("#", ";")):
            key, equals, _ = line.partition("=")
            key, skipped = key.strip(), len(key) + len(equals)
        is_list = section == "options" and key in _LISTS_OF_SETUP
        if is_list or (section == "options.extras_require" and key):
            yield _place(text, number, position, line, skipped)


def _in_pyproject(text: str) -> Iterator[Place]:
    for string in toml_strings(text):
        match string.path:
            case ("project", "dependencies" | "optional-dependencies", *_) | (
                "dependency-groups",
                *_,
            ):
                quote = text[string.start - 1]
                line_start = text.rfind("\n", 0, string.start) + 1
                before = text[line_start : string.start - 1]
                newline = "\r\n" if "\r\n" in text else "\n"
                gap = " " if before.strip() else newline + before
                line = text.count("\n", 0, string.start) + 1
                yield Place(string.start, string.end, f"{quote},{gap}{quote}", line)
