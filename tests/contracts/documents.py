"""Checks that the paths and names in a document exist.

An item in backticks outside of code blocks is one of these:

- `linen_core/scope/scope.py`, a path: it has a slash or ends with the suffix of a file. It is relative to the root, or to
  the `src` folder of a package. A part in angle brackets, as in `test_<file>.py`, matches any text. A path that "(new)"
  follows is a file that the reader creates: it does not exist, but its folder does;
- `Scope.param` or `nn.Dense`, a name: dotted from a package, or from a class, function or constant that a file defines;
- `[tool.linen.floors]`, a table of a project file;
- `linen-store`, a package;
- `LINEN_EXAMPLES`, an environment variable that a script or a test reads.

Everything else is an error. In code blocks, words that begin with a folder of the root are paths. Links are checked too.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts import workspace

ROOT = workspace.ROOT
BASES = [ROOT, *sorted(ROOT.glob("packages/*/src"))]
NICKNAMES = {"nn": "linen_core"}
IMPORTABLE = ("jax", "linen_core", "linen_store", "linen_summary")
FOLDERS = ("bench", "examples", "packages", "scripts", "tests")

_FENCE = re.compile(r"^ *```")
_ITEM = re.compile(r"`([^`]+)`(?:\s+\((new)\))?")
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_SUFFIXES = (".json", ".md", ".py", ".pyi", ".toml", ".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


def broken_references(name: str, text: str) -> Iterator[str]:
    """Yield a line for each item of a document that does not exist."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        if _FENCE.match(line):
            in_code = not in_code
        elif in_code:
            for word in re.findall(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*", line):
                if not _exists(word):
                    yield f"{where} the path {word!r} does not exist"
        else:
            if line.count("`") % 2:
                yield f"{where} a backtick without its partner on the same line"
            for item, new in _ITEM.findall(line):
                problem = _problem(item, is_new=bool(new))
                if problem:
                    yield f"{where} {problem}"
            for target in _LINK.findall(line):
                if not (ROOT / target).exists():
                    yield f"{where} the link {target!r} leads nowhere"


def _problem(item: str, *, is_new: bool) -> str | None:
    if item.startswith("["):
        texts = [path.read_text("utf-8") for path in _project_files()]
        return None if any(item in text for text in texts) else f"no project file has {item!r}"
    if "/" in item or item.endswith(_SUFFIXES):
        if is_new:
            is_free = not _exists(item) and (ROOT / item).parent.is_dir()
            return None if is_free else f"{item!r} is not a new file in an existing folder"
        return None if _exists(item) else f"the path {item!r} does not exist"
    if item in workspace.PACKAGES or (_VARIABLE.fullmatch(item) and item in _variables()):
        return None
    if not _NAME.fullmatch(item):
        return f"{item!r} is neither a path nor a name"
    return None if _resolves(item) else f"the name {item!r} does not exist"


def _exists(path: str) -> bool:
    pattern = re.sub(r"<\w+>", "*", path)
    return any(any(base.glob(pattern)) for base in BASES)


def _project_files() -> list[Path]:
    return [ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml")]


def _resolves(name: str) -> bool:
    first, *rest = name.split(".")
    if first in NICKNAMES or first in IMPORTABLE:
        return _has(importlib.import_module(NICKNAMES.get(first, first)), rest)
    if hasattr(builtins, first) and not rest:
        return True
    if not rest and first in _names_of_tests():
        return True
    owners = [importlib.import_module(module) for module in _definitions().get(first, ())]
    return any(_has(getattr(owner, first, None), rest) for owner in owners)


def _has(owner: Any, names: list[str]) -> bool:
    """Return whether nested attributes exist; fields without a default are in the annotations only."""
    for position, name in enumerate(names):
        if not hasattr(owner, name) and isinstance(getattr(owner, "__path__", None), list):
            try:
                importlib.import_module(f"{owner.__name__}.{name}")
            except ModuleNotFoundError:
                return False
        if not hasattr(owner, name):
            annotations = [
                getattr(base, "__annotations__", {}) for base in getattr(owner, "__mro__", ())
            ]
            return position == len(names) - 1 and any(name in found for found in annotations)
        owner = getattr(owner, name)
    return owner is not None


@functools.cache
def _definitions() -> dict[str, list[str]]:
    """The modules of the packages that define each name at their top level."""
    found: dict[str, list[str]] = {}
    for package in workspace.PACKAGES:
        for source in workspace.sources(package):
            for name in _top_level(source.tree):
                found.setdefault(name, []).append(source.module)
    return found


@functools.cache
def _names_of_tests() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in _top_level(ast.parse(path.read_text("utf-8")))
    }


@functools.cache
def _variables() -> set[str]:
    """The capital words in the scripts and in the set-up of the tests."""
    files = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    texts = [path.read_text("utf-8") for path in [*files, ROOT / "tests" / "conftest.py"]]
    return {match.group() for text in texts for match in re.finditer(r"\b[A-Z][A-Z0-9_]+\b", text)}


def _top_level(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
