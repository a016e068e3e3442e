"""Run a program that is written for flax with Linen, without changing it.

In a terminal:

    python -m linen_core.flax_compat run train.py --epochs 3
    python -m linen_core.flax_compat run -m my_package.train
    python -m linen_core.flax_compat run pytest tests

In a notebook, `install` comes before anything imports flax. Imports in the libraries that the program uses are answered
too. flax need not be installed. A name that Linen lacks is an error with the name, the place and what to do. Flags of
the environment such as ``FLAX_PROFILE`` take effect; see `linen_core.configurations`.

`run` starts Python anew with a folder in PYTHONPATH. Python processes that the program starts inherit it, and Linen
answers there too, unless they have another environment or Python ignores it (`python -I`, `-E` or `-S`).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from linen_core.migration import import_hook
from linen_core.migration.import_hook import FlaxFinder, FlaxImportedError, Use

__all__ = ["install", "main", "report", "uninstall"]

_SITE_FOLDER = os.path.join(os.path.dirname(import_hook.__file__), "site_folder")


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
    sys.meta_path[:] = [one for one in sys.meta_path if not getattr(one, "answers_flax", False)]
    for name, module in list(sys.modules.items()):
        if finder is not None and getattr(module, "__loader__", None) is finder:
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


def _options_of_python() -> list[str]:
    """Return the options before `-m linen_core.flax_compat`, such as ``["-X", "dev"]``."""
    pairs = list(zip(sys.orig_argv, sys.orig_argv[1:], strict=False))
    this = ("-m", "linen_core.flax_compat")
    return sys.orig_argv[1 : pairs.index(this)] if this in pairs else []


def _start_python(command: Sequence[str], *, reports: bool) -> NoReturn:
    """Replace this process by Python, where `import flax` is answered.

    JAX is not imported there before the program imports it. It reads environment variables that the program may set.
    """
    folders = [_SITE_FOLDER, *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    if reports:
        variables["LINEN_FLAX_COMPAT_REPORT"] = "1"
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *_options_of_python(), *command], variables)  # noqa: S606


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
    exists, is_module = os.path.exists(options.target), options.is_module
    if not exists and not is_module and options.target.isidentifier():  # a tool such as pytest
        is_module = importlib.util.find_spec(options.target) is not None
    if not exists and not is_module:
        sys.exit(
            f"Cannot run {options.target}: the file does not exist. Name a script, or a module after -m."
        )
    if sys.flags.ignore_environment or sys.flags.no_site:
        sys.exit("Cannot run with the options -E, -I and -S of Python: leave them out.")
    command = ["-m", options.target] if is_module else [options.target]
    _start_python([*command, *options.args], reports=options.command == "report")


if __name__ == "__main__":
    main()
