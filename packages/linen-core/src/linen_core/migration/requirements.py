"""Rewrites requirement files: requirements.txt, pyproject.toml, setup.cfg and environment.yml."""

from __future__ import annotations

import fnmatch
import os
import tomllib
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from linen_core.migration.findings import Finding, Rewrite, UnreadableError
from linen_core.migration.source_text import Edit, apply_edits
from linen_core.migration.toml_strings import toml_strings

__all__ = ["is_requirement_file", "rewrite_requirements"]

_LISTS_OF_SETUP = ("install_requires", "setup_requires", "tests_require")
_OPTIONAL = (("linen_store", "linen-store"), ("linen_summary", "linen-summary"))


class _Place(NamedTuple):
    """A requirement in a file."""

    start: int
    end: int
    separator: str
    """The text between it and another requirement."""
    line: int


def is_requirement_file(path: str) -> bool:
    """Return whether a file lists requirements, by its name.

    Example:
      >>> is_requirement_file("a/requirements-dev.txt"), is_requirement_file("notes.txt")
      (True, False)
    """
    return _finder_of(path) is not None


def rewrite_requirements(path: str, data: bytes, packages: Collection[str]) -> Rewrite:
    r"""Replace flax by the packages of Linen.

    Args:
      path: the path of the file.
      data: its content.
      packages: the packages that the sources use: flax, linen_core, linen_store, linen_summary.

    Raises:
      UnreadableError: the file cannot be decoded or parsed.

    Example:
      >>> rewrite_requirements("requirements.txt", b"jax\nflax>=0.8  # nn\n", {"linen_core"}).data
      b'jax\nlinen-core  # nn\n'
    """
    try:
        text = data.decode()
        if path.endswith(".toml"):
            tomllib.loads(text)
    except ValueError as error:
        msg = f"Cannot be read: {error}. Correct it, then run this again."
        raise UnreadableError(msg) from error
    finder = _finder_of(path)
    places = list(finder(text)) if finder is not None else []
    needed = ["linen-core", *(name for module, name in _OPTIONAL if module in packages)]
    present = {_name_of(text[place.start : place.end]) for place in places}
    missing = [name for name in needed if name not in present]
    edits, findings = [], list(_other_mentions(text))
    for place in places:
        old = text[place.start : place.end]
        if _name_of(old) != "flax":
            continue
        if not {"linen_core", "linen_store", "linen_summary"} & set(packages):
            note = (
                "flax is left: the given sources do not use it. Give the paths of the sources too."
            )
            findings.append(Finding(place.line, note, needs_person=False))
        elif "--hash" in old or old.endswith("\\"):
            note = "The requirement of flax has hashes. Compile the file again with linen-core."
            findings.append(Finding(place.line, note))
        else:
            marker = _marker_of(old)
            new = [name + marker for name in missing or needed[:1]]
            if "flax" in packages:
                new = [*(name + marker for name in missing), old]
            start, end = (len(text[:at].encode()) for at in (place.start, place.end))
            edits.append(Edit(start, end, place.separator.join(new)))
    result = apply_edits(
        data, [edit for edit in edits if data[edit.start : edit.end].decode() != edit.text]
    )
    return Rewrite(result, findings)


def _finder_of(path: str) -> Callable[[str], Iterator[_Place]] | None:
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


def _name_of(requirement: str) -> str:
    """Return the normalised name: `flax` for `Flax[all] >= 0.8`."""
    end = 0
    while end < len(requirement) and (requirement[end].isalnum() or requirement[end] in "._-"):
        end += 1
    return requirement[:end].lower().replace("_", "-").replace(".", "-")


def _marker_of(requirement: str) -> str:
    before, semicolon, after = requirement.partition(";")
    return before[len(before.rstrip()) :] + semicolon + after if semicolon else ""


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the number, the position and the content of each line."""
    position = 0
    for number, line in enumerate(text.split("\n"), 1):
        yield number, position, line.removesuffix("\r")
        position += len(line) + 1


def _place(text: str, number: int, position: int, line: str, skipped: int) -> _Place:
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
    return _Place(start, end, separator, number)


def _in_requirements(text: str) -> Iterator[_Place]:
    for number, position, line in _lines(text):
        yield _place(text, number, position, line, 0)


def _in_environment(text: str) -> Iterator[_Place]:
    for number, position, line in _lines(text):
        content = line.lstrip()
        if content.startswith("- "):
            skipped = line.index("-") + 1
            skipped += len(line[skipped:]) - len(line[skipped:].lstrip())
            skipped += line[skipped : skipped + 1] in {'"', "'"}
            yield _place(text, number, position, line, skipped)


def _in_setup_cfg(text: str) -> Iterator[_Place]:
    section = key = ""
    for number, position, line in _lines(text):
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


def _in_pyproject(text: str) -> Iterator[_Place]:
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
                yield _Place(string.start, string.end, f"{quote},{gap}{quote}", line)


def _other_mentions(text: str) -> Iterator[Finding]:
    """Find requirements of flax in forms that are not rewritten: URLs, tables of other tools."""
    for number, _, line in _lines(text):
        content = line.partition("#")[0].strip()
        is_url = "/flax" in content and ("git+" in content or "://" in content)
        is_entry = content.replace('"', "").replace(" ", "").startswith("flax=")
        is_channel = content.endswith("::flax") or "::flax=" in content
        if (is_url and _name_of(content.lstrip("-\"' ")) != "flax") or is_channel:
            yield Finding(number, "flax is required by a URL or a channel. Require linen-core.")
        elif is_entry and not content.startswith("flax=="):
            yield Finding(number, "flax is an entry of a table. Replace it by linen-core.")
