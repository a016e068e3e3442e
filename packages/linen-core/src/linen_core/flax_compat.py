"""Run a program that is written for flax with Linen, without changing it.

In a terminal:

    python -m linen_core.flax_compat run train.py --epochs 3
    python -m linen_core.flax_compat run -m my_package.train
    python -m linen_core.flax_compat run pytest tests

In a notebook, `install` comes before anything imports flax. Imports in the libraries that the program uses are answered
too. flax need not be installed. A name that Linen lacks is an error with the name, the place and what to do. Processes
that the program starts import flax itself. Flags of the environment such as ``FLAX_PROFILE`` take effect; see
`linen_core.configurations`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence

from linen_core.configurations import config as config  # it reads the flags of the environment
from linen_core.migration.flax_names import counterpart
from linen_core.migration.import_hook import FlaxFinder, FlaxImportedError, Use

__all__ = ["install", "main", "report", "uninstall"]


def install() -> None:
    """Answer every later `import flax` of this process with Linen.

    Raises:
      FlaxImportedError: flax is imported already.

    Example:
      >>> import sys
      >>> before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "flax"}
      >>> install()
      >>> import flax.linen, linen_core
      >>> flax.linen.Dense is linen_core.Dense
      True
      >>> [use.name for use in report()]
      ['flax.linen.Dense']
      >>> uninstall()
      >>> sys.modules.update(before)
    """
    if _finder() is not None:
        return
    if "flax" in sys.modules:
        raise FlaxImportedError
    sys.meta_path.insert(0, FlaxFinder())


def uninstall() -> None:
    """Undo `install`. Modules that were imported before keep what they have.

    Example:
      >>> uninstall()
    """
    finder = _finder()
    if finder is None:
        return
    sys.meta_path.remove(finder)
    for name, module in list(sys.modules.items()):
        if getattr(module, "__loader__", None) is finder:
            del sys.modules[name]


def report() -> list[Use]:
    """Return the names of flax that the program has used since `install`, with the file and line of each.

    Example:
      >>> report()
      []
    """
    finder = _finder()
    return [] if finder is None else finder.uses


def _finder() -> FlaxFinder | None:
    return next((one for one in sys.meta_path if isinstance(one, FlaxFinder)), None)


def _run_program(target: str, args: Sequence[str], *, is_module: bool) -> None:
    """Run a script or a module as Python itself would run it."""
    sys.argv = [target, *args]
    if is_module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(target)))
        runpy.run_path(target, run_name="__main__")


def _is_importable(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def _print_report() -> None:
    uses = report()
    width = max((len(use.name) for use in uses), default=0)
    for use in sorted(uses):
        target = counterpart(use.name) or ""
        sys.stderr.write(f"{use.name:{width}}  {target}  {use.file}:{use.line}\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command.

    Args:
      argv: its arguments; those of the process by default.

    Raises:
      SystemExit: the program ended with an exit code, or could not be run.

    Example:
      >>> main(["run", "no_such_file.py"])
      Traceback (most recent call last):
      ...
      SystemExit: Cannot run no_such_file.py: the file does not exist. Name a script, or a module after -m.
    """
    parser = argparse.ArgumentParser(
        prog="python -m linen_core.flax_compat",
        description="Run a program that is written for flax with Linen, without changing it.",
    )
    parser.add_argument(
        "command",
        choices=["run", "report"],
        help="run the program; report also prints the names of flax that it used, and from where",
    )
    parser.add_argument("-m", action="store_true", dest="is_module", help="run a module")
    parser.add_argument("target", help="a script, a module after -m, or a tool such as pytest")
    parser.add_argument("args", nargs=argparse.REMAINDER, help="the arguments of the program")
    options = parser.parse_args(argv)
    exists = os.path.exists(options.target)
    # A tool such as pytest is a module too.
    is_module = options.is_module or (not exists and _is_importable(options.target))
    if not exists and not is_module:
        sys.exit(
            f"Cannot run {options.target}: the file does not exist. Name a script, or a module after -m."
        )
    was_installed = _finder() is not None
    install()
    try:
        _run_program(options.target, options.args, is_module=is_module)
    finally:
        if options.command == "report":
            _print_report()
        if not was_installed:
            uninstall()


if __name__ == "__main__":
    # This file runs as __main__; the program may import it by its name, and must find the same state.
    from linen_core.flax_compat import main as run_main

    run_main()
