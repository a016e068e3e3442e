"""Answers `import flax` with Linen in a program, and in the Python processes that it starts.

Python imports this file when it starts. JAX is not imported before the program asks for it: the program may still set
the environment variables that JAX reads.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution
from typing import Any

__all__ = ["FirstImport"]


class FirstImport(MetaPathFinder):
    """Waits for the first import of flax, and makes place for the finder of Linen.

    Example:
      >>> FirstImport().find_spec("jax") is None
      True
    """

    answers_flax = True  #: Tells `linen_core.flax_compat.uninstall` to remove this finder.

    def __init__(self) -> None:
        self._waits = True

    def _install(self) -> Any:
        """Return the finder of Linen; None in an environment without Linen, whose flax is used."""
        if not self._waits:
            return None
        self._waits = False
        try:
            import_hook = importlib.import_module("linen_core.migration.import_hook")
        except ImportError:
            return None
        sys.meta_path.insert(0, import_hook.FlaxFinder())
        return sys.meta_path[0]

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how to import flax."""
        finder = self._install() if fullname == "flax" else None
        return None if finder is None else finder.find_spec(fullname, path, target)

    def find_distributions(self, context: Any) -> Iterator[Distribution]:
        """Yield a distribution named flax."""
        finder = self._install() if context.name == "flax" else None
        return iter(()) if finder is None else finder.find_distributions(context)


def _print_report() -> None:
    finder: Any = next((one for one in sys.meta_path if hasattr(one, "print_uses")), None)
    if finder is not None:
        finder.print_uses()


def _import_the_other() -> None:
    """Import the `sitecustomize` that this one hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != here]
    this = sys.modules.pop("sitecustomize")
    try:
        importlib.import_module(this.__name__)
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", this)


if __name__ == "sitecustomize":
    sys.meta_path.insert(0, FirstImport())
    # The processes that the program starts print no report.
    if os.environ.pop("LINEN_FLAX_COMPAT_REPORT", ""):
        atexit.register(_print_report)
    _import_the_other()
