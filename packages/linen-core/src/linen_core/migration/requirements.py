"""Rewrites requirement files: requirements.txt, pyproject.toml, setup.cfg and environment.yml."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator

from linen_core.migration.findings import Finding, Rewrite, UnreadableError
from linen_core.migration.requirement_places import distribution_of, finder_of, numbered_lines
from linen_core.migration.source_text import Edit, apply_edits

__all__ = ["is_requirement_file", "rewrite_requirements"]

_OPTIONAL = (("linen_store", "linen-store"), ("linen_summary", "linen-summary"))


def is_requirement_file(path: str) -> bool:
    """Return whether a file lists requirements, by its name.

    Example:
      >>> is_requirement_file("a/requirements-dev.txt"), is_requirement_file("notes.txt")
      (True, False)
    """
    return finder_of(path) is not None


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
    finder = finder_of(path)
    places = list(finder(text)) if finder is not None else []
    needed = ["linen-core", *(name for module, name in _OPTIONAL if module in packages)]
    present = {distribution_of(text[place.start : place.end]) for place in places}
    missing = [name for name in needed if name not in present]
    edits, findings = [], list(_other_mentions(text))
    for place in places:
        old = text[place.start : place.end]
        if distribution_of(old) != "flax":
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
            edits.append(Edit(place.start, place.end, place.separator.join(new)))
    result = apply_edits(text, edits)
    if path.endswith(".toml"):
        tomllib.loads(result)  # A file that this would break is never written.
    return Rewrite(result.encode(), findings)


def _marker_of(requirement: str) -> str:
    before, semicolon, after = requirement.partition(";")
    return before[len(before.rstrip()) :] + semicolon + after if semicolon else ""


def _other_mentions(text: str) -> Iterator[Finding]:
    """Find requirements of flax in forms that are not rewritten: URLs, tables of other tools."""
    for number, _, line in numbered_lines(text):
        content = line.partition("#")[0].strip()
        is_url = "/flax" in content and ("git+" in content or "://" in content)
        is_entry = content.replace('"', "").replace(" ", "").startswith("flax=")
        is_channel = content.endswith("::flax") or "::flax=" in content
        if (is_url and distribution_of(content.lstrip("-\"' ")) != "flax") or is_channel:
            yield Finding(number, "flax is required by a URL or a channel. Require linen-core.")
        elif is_entry and not content.startswith("flax=="):
            yield Finding(number, "flax is an entry of a table. Replace it by linen-core.")
