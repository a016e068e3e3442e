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
from linen_core.targets import USER_ERRORS, current_folder_first
from linen_summary.charts.chart import Chart, bars, treemap
from linen_summary.commands.targets import (
    import_module,
    is_module_name,
    parsed_inputs,
    parsed_values,
)
from linen_summary.costs.meter import measures_by_name, split_arguments
from linen_summary.errors import (
    ChartFormatError,
    CommandError,
    ModelRunError,
    StoreTargetError,
    UnknownMeasureError,
    UnusedOptionsError,
)
from linen_summary.table.stores import tabulate_store
from linen_summary.table.summarize import ALL_BUT_INTERMEDIATES, table_of_call
from linen_summary.table.table import Table
from linen_summary.text.values import one_line

__all__ = ["main"]

_FORMATS = ("rich", "markdown", "json", "csv", "html", "svg")
_FAILED = 2
_FOR_CHECKPOINTS = ("--kind",)
_FOR_MODULES = ("--arg", "--input", "--call", "--rng", "--method", "--repeated")
_NOTE_OF_JAX = "--------------------\nFor simplicity, JAX has removed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 if it fails.

    Args:
      arguments: the arguments; those of the command line if None.

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
        result: Table | Chart = table
        if options.chart is not None:
            result = {"treemap": treemap, "bars": bars}[options.chart](table, options.by)
        _write(result, options.format, options.width)
    except (CommandError, UnknownMeasureError) as error:
        cause = "" if error.__cause__ is None else f"{_user_error(error.__cause__)}\n"
        sys.stderr.write(f"linen-summary: {error}\n{cause}")
        return _FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="linen-summary",
        description="Summarise a Linen model or a checkpoint, without running it.",
    )
    add = parser.add_argument
    add("target", help="package.module:Model, or the path of a checkpoint (with linen-store)")
    for option, metavar, text in (
        ("--arg", "NAME=VALUE", "a field of the model"),
        ("--input", "[NAME=]DTYPE[SHAPE]", "an input, for example float32[1,28,28,1]"),
        ("--call", "NAME=VALUE", "another keyword argument of the call, for example train=False"),
        ("--rng", "NAME", "a further stream of keys"),
    ):
        add(option, action="append", default=[], metavar=metavar, help=text)
    add("--method", help="the method to call")
    add("--depth", type=_at_least(0), help="number of levels of modules that get rows")
    add("--repeated", action="store_true", help="show further calls of the same module")
    for option, argument, text in _measure_options():
        add(option, action="store_true", dest=argument, help=text)
    add("--chart", choices=["treemap", "bars"], help="draw a chart instead of the table")
    inclusive = (
        name for name, measure in measures_by_name().items() if measure.includes_submodules
    )
    quantities = ", ".join(["size", "bytes", *inclusive])
    add("--by", default="size", help=f"the quantity in the chart: {quantities}")
    add("--kind", help="the registered store that opens the path")
    add("--format", choices=_FORMATS, default="rich", help="the output format")
    width = "characters per line, for rich and the table in svg"
    add("--width", type=_at_least(1), help=width)
    return parser


def _measure_options() -> dict[tuple[str, str, str], None]:
    """Return option, argument and help text of the measures. Several measures may share an option."""
    measures = measures_by_name().values()
    return dict.fromkeys((measure.option, measure.argument, measure.help) for measure in measures)


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.strip().isdecimal() or int(text) < least:
            msg = f"found {text!r}, expected a whole number, {least} or more"
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return number


def _table(options: argparse.Namespace) -> Table:
    if is_module_name(options.target):
        _reject_unused(options, "module", _FOR_CHECKPOINTS)
        with current_folder_first():
            return _table_of_module(options)
    try:
        table = tabulate_store(options.target, depth=options.depth, kind=options.kind)
    except (LinenError, ImportError, OSError, ValueError) as error:
        raise StoreTargetError(options.target) from error
    _reject_unused(options, "checkpoint", _FOR_MODULES)
    return table


def _reject_unused(
    options: argparse.Namespace, kind: Literal["checkpoint", "module"], others: Sequence[str]
) -> None:
    """Reject options for targets of another kind."""
    used = [option for option in others if getattr(options, option.removeprefix("--"))]
    if kind == "checkpoint":
        used += [option for option, argument, _ in _measure_options() if getattr(options, argument)]
    if used:
        raise UnusedOptionsError(options.target, tuple(used), kind)


def _table_of_module(options: argparse.Namespace) -> Table:
    module = import_module(options.target, parsed_values("--arg", options.arg))
    args, named = parsed_inputs(options.input)
    kwargs = {**named, **parsed_values("--call", options.call)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    flags = {
        measure.argument: getattr(options, measure.argument) or options.by == name
        for name, measure in measures_by_name().items()
    }
    try:
        return table_of_call(
            module,
            dict.fromkeys(("params", "dropout", *options.rng), key),
            tuple(args),
            {"method": options.method, "mutable": ALL_BUT_INTERMEDIATES, **kwargs},
            depth=options.depth,
            show_repeated=options.repeated,
            measures=split_arguments(flags)[0],
        )
    except USER_ERRORS as error:
        inputs = ", ".join(
            [*map(one_line, args), *(f"{k}={one_line(v)}" for k, v in kwargs.items())]
        )
        raise ModelRunError(options.target, inputs or "no inputs") from error


def _write(result: Table | Chart, form: str, width: int | None) -> None:
    if form == "rich":
        Console(width=width).print(result)
        return
    if form == "svg":
        size = {} if width is None or isinstance(result, Chart) else {"width": width}
        sys.stdout.write(result.to_svg(**size))
        return
    if isinstance(result, Chart) and form != "html":
        raise ChartFormatError(form)
    text: str = getattr(result, f"to_{form}")()
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _user_error(error: BaseException) -> str:
    """Format an error with the last line of the user's code in its traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    user_frames = [frame for frame in frames if not _is_library(frame.filename)]
    line = traceback.format_list(user_frames[-1:])
    text: list[Any] = traceback.format_exception_only(error)
    return "".join([*line, *text]).partition(_NOTE_OF_JAX)[0].rstrip()


def _is_library(filename: str) -> bool:
    parts = filename.replace("\\", "/").split("/")
    libraries = {"linen_core", "linen_store", "linen_summary", "jax", "importlib"}
    return not libraries.isdisjoint(parts) or filename.startswith("<")
