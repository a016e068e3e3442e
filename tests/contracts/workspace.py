"""The files of the workspace, as the contract tests look at them."""

from __future__ import annotations

import functools
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from contracts.rules import Source

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("linen-core", "linen-store", "linen-summary")
IMPORT_NAMES = {"orbax-checkpoint": "orbax"}


@functools.cache
def project_file(package: str) -> dict[str, Any]:
    """The parsed pyproject.toml of a package; of the root for the empty name."""
    folder = ROOT / "packages" / package if package else ROOT
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))


@functools.cache
def sources(package: str) -> tuple[Source, ...]:
    """Every Python file of a package."""
    folder = ROOT / "packages" / package / "src"
    return tuple(read_source(path, folder) for path in sorted(folder.rglob("*.py")))


def read_source(path: Path, folder: Path) -> Source:
    """Read one file and name it as Python would."""
    parts = path.relative_to(folder).with_suffix("").parts
    is_init = parts[-1] == "__init__"
    module = ".".join(parts[:-1] if is_init else parts)
    stub = path.with_suffix(".pyi")
    return Source(
        module,
        path.read_text("utf-8"),
        is_face=is_init and len(parts) == 2,
        stub=stub.read_text("utf-8") if stub.exists() else None,
    )


@functools.cache
def modules(package: str) -> dict[str, Source]:
    """The files of a package by dotted name."""
    return {source.module: source for source in sources(package)}


def declared_imports(package: str) -> frozenset[str]:
    """The import names of what a package depends on, its extras included."""
    project = project_file(package)["project"]
    groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    names = {_distribution(requirement) for group in groups for requirement in group}
    return frozenset(IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names)


def _distribution(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end].lower()


def tracked_texts() -> list[tuple[str, str]]:
    """Name and text of every text file that git keeps, or would keep."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.suffix not in (".npz", ".safetensors", ".msgpack") and path.is_file():
            found.append((name, path.read_text("utf-8")))
    return found
