"""The command line of ``linen-store``: its commands, their options, and the values of these."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from linen_core import VariableStore
from linen_core.targets import parse_input, parse_value
from linen_store.commands.completion import SHELLS
from linen_store.formats.opening import open_store
from linen_store.formats.orbax.layout import step_number
from linen_store.saving.converting import writable_formats

__all__ = ["PROGRAM", "Split", "make_parser", "open_chosen"]

PROGRAM = "linen-store"

Split: TypeAlias = tuple[re.Pattern[str], str]
"""A pattern for the names of arrays, and the mesh axes that they are split over."""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Look at Linen checkpoints.")
    version = f"{PROGRAM} {importlib.metadata.version(PROGRAM)}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, paths: Sequence[str]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        for path in paths:
            command.add_argument(path)
        command.add_argument("--json", action="store_true", help="print JSON")
        return command

    def add_opening(name: str, text: str, paths: Sequence[str]) -> argparse.ArgumentParser:
        command = add(name, text, paths)
        _add_choices(command)
        return command

    add_opening("ls", "List arrays with their shapes, dtypes and sizes.", ["path"])
    add("items", "List the steps and items that a folder holds.", ["path"])
    add_opening("show", "Describe the values of one array.", ["path", "leaf"])
    diff = add_opening("diff", "Compare two checkpoints, names and values.", ["first", "second"])
    diff.add_argument("--rtol", type=float, default=0.0, help="relative tolerance")
    diff.add_argument("--atol", type=float, default=0.0, help="absolute tolerance")
    verify = add_opening("verify", "Check every file and array against its checksum.", ["path"])
    verify.add_argument(
        "--require-checksums", action="store_true", help="fail if the checkpoint has none"
    )
    convert = add_opening("convert", "Write in another format.", ["path", "target"])
    convert.add_argument(
        "--to",
        choices=("orbax", *writable_formats()),
        help="the format to write; by default that of the target's suffix",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace what is there")
    convert.add_argument("--compression", action="store_true", help="write less, and slower")
    plan = add_opening("plan", "Compute the cost of loading onto a mesh.", ["path"])
    _add_mesh(plan)
    suggest = add_opening("suggest", "Propose a map to the arrays of a model.", ["path", "model"])
    _add_model(suggest)
    completion = commands.add_parser("completion", help="Print a script that completes commands.")
    completion.add_argument("shell", choices=sorted(SHELLS))
    return parser


def _add_choices(command: argparse.ArgumentParser) -> None:
    """Add the options that choose a part of a checkpoint."""
    command.add_argument("--item", help="which item, or file of a folder")
    command.add_argument("--step", type=step_number, help="which step of a folder of checkpoints")
    command.add_argument(
        "--root",
        type=_root,
        action="append",
        default=[],
        metavar="[COLLECTION=]NAMES",
        help="the part that holds the collections, as 'model/state'; or, once for each collection, "
        "the part that it is, as 'params=model/weights' or 'params=' for all",
    )
    command.add_argument(
        "--key-map",
        type=_key_map,
        metavar="FILE",
        help="a JSON file of an object: from the names in the file to those of the variables, joined "
        "by dots (slashes for npz); null leaves an array out",
    )
    command.add_argument(
        "--map", metavar="FILE", help="a TOML file of the names and shapes that the arrays get"
    )
    command.add_argument(
        "--layout", choices=["model"], help="say that arrays of PyTorch have the model's layout"
    )


def _add_mesh(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("--mesh", type=_mesh, required=True, help="sizes of axes, as data=4,model=2")
    plan.add_argument("--processes", type=int, default=1, help="how many share the devices")
    plan.add_argument(
        "--split",
        type=_split,
        action="append",
        default=[],
        metavar="REGEX=AXES",
        help="how arrays of matching names are split, as 'kernel=data,model' or 'bias=-'; the last match counts",
    )


def _add_model(command: argparse.ArgumentParser) -> None:
    """Add the options that say how a model is constructed and called."""
    for option, reader, metavar, text in (
        ("--arg", parse_value, "NAME=VALUE", "a field of the model, for example features=64"),
        (
            "--input",
            parse_input,
            "[NAME=]DTYPE[SHAPE]",
            "an input of its call, as float32[1,28,28,1]",
        ),
        ("--call", parse_value, "NAME=VALUE", "another argument of its call, as train=False"),
    ):
        command.add_argument(
            option, type=_parsed(reader), action="append", default=[], metavar=metavar, help=text
        )


def open_chosen(options: argparse.Namespace, path: str, **more: Any) -> VariableStore:
    """Open the part of a checkpoint that the options choose.

    Raises:
      ValueError: ``--root`` was given both for all and for a collection, or twice.
      StoreError: it cannot be opened; see `open_store`.
    """
    # Each array is read once: a cache would only keep all of them in memory.
    chosen = {name: getattr(options, name) for name in ("item", "step", "key_map", "layout", "map")}
    return open_store(path, _combined_root(options.root), cache_bytes=0, **chosen, **more)


def _combined_root(given: Sequence[tuple[str | None, tuple[str, ...]]]) -> Any:
    """Combine the values of ``--root``, one for all or one for each collection."""
    named = {collection: names for collection, names in given if collection is not None}
    if not given or len(named) == len(given):
        return named or None
    if len(given) > 1:
        msg = "expected one --root, or a --root COLLECTION=NAMES for each collection"
        raise ValueError(msg)
    return given[0][1]


def _root(text: str) -> tuple[str | None, tuple[str, ...]]:
    """Read the names of a part, as ``model/state`` or ``params=model/weights``."""
    collection, sign, names = text.rpartition("=")
    return collection if sign else None, tuple(name for name in names.split("/") if name)


def _key_map(file: str) -> dict[str, str | list[str] | None]:
    """Read a map of names from a JSON file."""
    try:
        with open(file, "rb") as stream:
            found = json.load(stream)
    except (OSError, ValueError) as error:
        msg = f"cannot read {file!r}: {getattr(error, 'strerror', None) or error}"
        raise argparse.ArgumentTypeError(msg) from error
    if not isinstance(found, dict):
        msg = f"expected an object of names in {file!r}, found {type(found).__name__}"
        raise argparse.ArgumentTypeError(msg)
    return found


def _mesh(text: str) -> dict[str, int]:
    """Read the sizes of a mesh, as ``data=4,model=2``."""
    found = dict(re.findall(r"([^=,]+)=(\d+)(?:,|$)", text))
    if ",".join(f"{name}={size}" for name, size in found.items()) != text:
        msg = f"expected sizes of axes, as data=4,model=2, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return {name: int(size) for name, size in found.items()}


def _split(text: str) -> Split:
    """Read a pattern for names and the mesh axes of what matches, as ``kernel=data,model``."""
    pattern, sign, axes = text.rpartition("=")
    if not sign:
        msg = f"expected a pattern and axes, as kernel=data,model, found {text!r}"
        raise argparse.ArgumentTypeError(msg)
    try:
        return re.compile(pattern), axes
    except re.error as error:
        msg = f"expected a regular expression before the last =, found {pattern!r}: {error}"
        raise argparse.ArgumentTypeError(msg) from error


def _parsed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show the text of a ValueError."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
