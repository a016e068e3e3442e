"""The command `linen-summary`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
from rich.console import Console

from linen_core.errors import LinenError
from linen_summary._layout import one_line
from linen_summary._targets import (
    USERS_ERRORS,
    current_folder_first,
    imported_module,
    is_module_name,
    parsed_inputs,
    parsed_values,
)
from linen_summary.charts import Chart, bars, treemap
from linen_summary.errors import (
    ChartFormatError,
    CommandError,
    ModelRunError,
    StoreTargetError,
    UnknownMeasureError,
    UnusedOptionsError,
)
from linen_summary.stores import tabulate_store
from linen_summary.summarizing import ALL_BUT_INTERMEDIATES, table_of_call
from linen_summary.table import Table

__all__ = ["main"]

_FORMATS = ("rich", "markdown", "json", "csv", "html", "svg")
_FAILED = 2
_FOR_CHECKPOINTS = ("--kind",)
_FOR_MODULES = (
    *("--arg", "--input", "--call", "--rng", "--method", "--repeated"),
    *("--flops", "--vjp-flops", "--macs", "--memory"),
)
_NOTE_OF_JAX = "--------------------\nFor simplicity, JAX has removed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0, or 2 where it cannot do what it is asked for.

    Args:
      arguments: those of the command line if None.

    Example:
      >>> main(["linen_core:Dense", "--arg", "features=4", "--input", "float32[16,9]", "--flops"])
      Dense Summary
      ┏━━━━━━━━┳━━━━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━┳━━━━━━━━┓
      ┃ module ┃ outputs       ┃ params ┃ bytes ┃  flops ┃
      ┡━━━━━━━━╇━━━━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━╇━━━━━━━━┩
      │ Dense  │ float32[16,4] │     40 │ 160 B │ 1.22 k │
      ├────────┼───────────────┼────────┼───────┼────────┤
      │ Total  │               │     40 │ 160 B │ 1.22 k │
      └────────┴───────────────┴────────┴───────┴────────┘
      0
    """
    options = _parser().parse_args(arguments)
    try:
        table = _table(options)
        shown: Table | Chart = table
        if options.chart is not None:
            shown = {"treemap": treemap, "bars": bars}[options.chart](table, options.by)
        _write(shown, options.format, options.width)
    except (CommandError, UnknownMeasureError) as error:
        own = "" if error.__cause__ is None else f"{_own_error(error.__cause__)}\n"
        sys.stderr.write(f"linen-summary: {error}\n{own}")
        return _FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linen-summary",
        description="Show what a Linen model or a checkpoint is made of. Nothing is computed.",
    )
    add = parser.add_argument
    add("target", help="package.module:Model, or the path of a checkpoint (with linen-store)")
    add("--arg", action="append", default=[], metavar="NAME=VALUE", help="a field of the model")
    add(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]DTYPE[SHAPE]",
        help="an input, for example float32[1,28,28,1]",
    )
    add(
        "--call",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a keyword argument of the call that is no array, for example train=False",
    )
    add("--rng", action="append", default=[], metavar="NAME", help="a further stream of keys")
    add("--method", help="the method that is called")
    add("--depth", type=_at_least(0), help="how many levels of modules get rows")
    add("--repeated", action="store_true", help="show further calls of the same module")
    add("--flops", action="store_true", help="count FLOPs")
    add("--vjp-flops", action="store_true", help="count FLOPs of vector-Jacobian products")
    add("--macs", action="store_true", help="count multiply-accumulate operations")
    add("--memory", action="store_true", help="estimate the memory of activations")
    add("--chart", choices=["treemap", "bars"], help="draw a chart instead of the table")
    add("--by", default="size", help="what the chart shows: size, bytes, flops, vjp_flops, macs")
    add("--kind", help="the registered store that opens the path")
    add("--format", choices=_FORMATS, default="rich", help="how to write it")
    width = "characters on a line, for rich and the table in svg"
    add("--width", type=_at_least(1), help=width)
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            msg = f"found {text!r}, expected a whole number, {least} or more"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return number


def _table(options: argparse.Namespace) -> Table:
    if is_module_name(options.target):
        _refuse(options, "module", _FOR_CHECKPOINTS)
        with current_folder_first():
            return _table_of_module(options)
    try:
        table = tabulate_store(options.target, depth=options.depth, kind=options.kind)
    except (LinenError, ImportError, OSError, ValueError) as error:
        raise StoreTargetError(options.target) from error
    _refuse(options, "checkpoint", _FOR_MODULES)
    return table


def _refuse(
    options: argparse.Namespace, kind: Literal["checkpoint", "module"], others: Sequence[str]
) -> None:
    """Refuse options that are for targets of another kind."""
    given = tuple(name for name in others if getattr(options, name[2:].replace("-", "_")))
    if given:
        raise UnusedOptionsError(options.target, given, kind)


def _table_of_module(options: argparse.Namespace) -> Table:
    module = imported_module(options.target, parsed_values("--arg", options.arg))
    args, named = parsed_inputs(options.input)
    kwargs = {**named, **parsed_values("--call", options.call)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    asked = {
        "flops": options.flops or options.by == "flops",
        "vjp_flops": options.vjp_flops or options.by == "vjp_flops",
        "macs": options.macs or options.by == "macs",
        "activation_bytes": options.memory,
        "training_bytes": options.memory,
    }
    try:
        return table_of_call(
            module,
            dict.fromkeys(("params", "dropout", *options.rng), key),
            tuple(args),
            {"method": options.method, "mutable": ALL_BUT_INTERMEDIATES, **kwargs},
            depth=options.depth,
            show_repeated=options.repeated,
            measures=tuple(name for name, is_asked in asked.items() if is_asked),
        )
    except USERS_ERRORS as error:
        inputs = ", ".join(
            [*map(one_line, args), *(f"{k}={one_line(v)}" for k, v in kwargs.items())]
        )
        raise ModelRunError(options.target, inputs or "no inputs") from error


def _write(shown: Table | Chart, form: str, width: int | None) -> None:
    if form == "rich":
        Console(width=width).print(shown)
        return
    if form == "svg":
        size = {} if width is None or isinstance(shown, Chart) else {"width": width}
        sys.stdout.write(shown.to_svg(**size))
        return
    if isinstance(shown, Chart) and form != "html":
        raise ChartFormatError(form)
    text: str = getattr(shown, f"to_{form}")()
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _own_error(error: BaseException) -> str:
    """Write an error of the user's code as Python does, with the last place in it that is theirs."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not _is_library(frame.filename)]
    place = traceback.format_list(theirs[-1:])
    text: list[Any] = traceback.format_exception_only(error)
    return "".join([*place, *text]).partition(_NOTE_OF_JAX)[0].rstrip()


def _is_library(filename: str) -> bool:
    parts = filename.replace("\\", "/").split("/")
    own = {"linen_core", "linen_store", "linen_summary", "jax", "importlib"}
    return not own.isdisjoint(parts) or filename.startswith("<")
