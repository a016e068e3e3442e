"""The command ``linen-store``: look at checkpoints, compare, verify, convert and plan with them.

Exit codes: 0 all is well, 1 a difference or damage was found, 2 the command could not be carried
out.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from linen_core.errors import LinenError
from linen_store._commands import COMMANDS, Outcome, Split
from linen_store._render import render

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command.

    Args:
      arguments: the command line, ``sys.argv`` by default.

    Returns:
      The exit code: 0 all is well, 1 a difference or damage was found, 2 nothing could be done.

    Example:
      >>> import os, tempfile, numpy as np, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> linen_store.save(path, {"params": {"bias": np.zeros(3, np.float32)}})
      >>> main(["ls", path, "--json"])
      {"leaves": [{"name": "params/bias", "dtype": "float32", "shape": [3], "bytes": 12}], "count":
      1, "bytes": 12} 0
    """
    options = _parser().parse_args(arguments)
    try:
        outcome: Outcome = COMMANDS[options.command](options)
    except (LinenError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"linen-store: {error}\n")
        return 2
    _print(render(outcome, as_json=options.json))
    return outcome.code


def _print(text: str) -> None:
    """Print, and be content where the reader, ``head`` for example, has seen enough."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain of the pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="linen-store", description="Look at Linen checkpoints.")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, text: str, paths: Sequence[str]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        for path in paths:
            command.add_argument(path)
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--item", help="which item, or file of a folder")
        command.add_argument("--step", type=int, help="which step of a folder of checkpoints")
        return command

    add("ls", "List arrays with their shapes, dtypes and sizes.", ["path"])
    add("show", "Describe the values of one array.", ["path", "leaf"])
    diff = add("diff", "Compare two checkpoints, names and values.", ["first", "second"])
    diff.add_argument("--rtol", type=float, default=0.0, help="relative tolerance")
    diff.add_argument("--atol", type=float, default=0.0, help="absolute tolerance")
    add("verify", "Check that every file and array is what was saved.", ["path"])
    convert = add("convert", "Write as an Orbax checkpoint or safetensors.", ["path", "target"])
    convert.add_argument("--to", choices=["orbax", "safetensors"], help="the format to write")
    convert.add_argument("--overwrite", action="store_true", help="replace what is there")
    convert.add_argument("--compression", action="store_true", help="write less, and slower")
    plan = add("plan", "Tell what loading onto a mesh reads and holds.", ["path"])
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
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
