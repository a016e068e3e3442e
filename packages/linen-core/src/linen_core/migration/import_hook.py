"""Answers `import flax` with Linen.

Python asks the finders of `sys.meta_path` for each module. The finder here comes first. It makes a module for each one
that `flax_names.MODULES` lists. Their names are looked up in the modules of Linen when they are used.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any, NamedTuple

from linen_core.migration.flax_names import MODULES, NAMES, VERSION, advice_for, counterpart

__all__ = ["FlaxFinder", "FlaxImportedError", "FlaxNameError", "Use"]


class Use(NamedTuple):
    """A place in a program that uses a name of flax."""

    name: str
    """The name, for example ``"flax.linen.Dense"``."""
    file: str
    """The file that uses it."""
    line: int
    """The line of the first use in that file."""


class FlaxNameError(ImportError):
    """A program imports a name of flax that has no counterpart in Linen."""

    def __init__(self, dotted: str, file: str, line: int) -> None:
        self.file = file  #: The file that imports it.
        self.line = line  #: The line of the import.
        super().__init__(_without_counterpart(dotted, file, line), name=dotted)


class FlaxImportedError(ImportError):
    """Linen cannot answer `import flax`, because flax was imported before."""

    def __init__(self) -> None:
        super().__init__(
            "Cannot answer `import flax` with Linen: flax is imported already. Call "
            "`linen_core.flax_compat.install()` before anything imports flax; in a notebook, restart the kernel first."
        )


class FlaxFinder(Loader):
    """Finds the modules of flax.

    Example:
      >>> finder = FlaxFinder()
      >>> finder.find_spec("flax.linen").name, finder.find_spec("jax")
      ('flax.linen', None)
    """

    answers_flax = True  #: Tells `linen_core.flax_compat.uninstall` to remove this finder.

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}

    @property
    def uses(self) -> list[Use]:
        """The names that were used, in the order of their first use in each file."""
        return list(self._uses.values())

    def print_uses(self) -> None:
        """Print the names that were used, their counterparts and the places."""
        width = max((len(use.name) for use in self.uses), default=0)
        for use in sorted(self.uses):
            target = counterpart(use.name) or ""
            sys.stderr.write(f"{use.name:{width}}  {target}  {use.file}:{use.line}\n")

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Return how to import a module of flax; None for other modules.

        Raises:
          FlaxNameError: flax has no such module here. Python also asks for ``flax.linen.Name`` where a program says
            `from flax.linen import Name` and the module does not have the name.
        """
        if fullname.partition(".")[0] != "flax":
            return None
        if fullname not in MODULES:
            raise FlaxNameError(fullname, *_place_of_use())
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Let a new module answer names."""
        # The program may have set variables of the environment until now: this reads them, and imports JAX.
        importlib.import_module("linen_core.configurations")
        vars(module)["__getattr__"] = self._answer(module.__name__)
        vars(module)["__dir__"] = lambda: _public_names(module.__name__)

    def _answer(self, module: str) -> Callable[[str], Any]:
        def get(name: str) -> Any:
            dotted = f"{module}.{name}"
            if name == "__all__":
                return _public_names(module)
            if dotted in {"flax.__version__", "flax.version.__version__"}:
                return VERSION
            found = None if name.startswith("__") else counterpart(dotted)
            if dotted not in MODULES and found is None:
                where = _place_of_use()
                raise AttributeError(
                    _without_counterpart(dotted, *where), name=name, obj=sys.modules[module]
                )
            file, line = _place_of_use()
            self._uses.setdefault((dotted, file), Use(dotted, file, line))
            if dotted in MODULES:
                return importlib.import_module(dotted)
            return found.load()  # type: ignore[union-attr]

        return get

    def find_distributions(self, context: Any) -> Iterator[importlib.metadata.Distribution]:
        """Yield a distribution named flax, for libraries that ask for its version."""
        if context.name == "flax":
            yield _Flax()


class _Flax(importlib.metadata.Distribution):
    def read_text(self, filename: str) -> str | None:
        is_metadata = filename == "METADATA"
        return f"Metadata-Version: 2.1\nName: flax\nVersion: {VERSION}\n" if is_metadata else None

    def locate_file(self, path: str | os.PathLike[str]) -> Any:
        return path


def _public_names(module: str) -> list[str]:
    """Return the names that `from flax... import *` takes: modules of Linen only where flax has them."""
    listed = (name.rpartition(".") for name in (*MODULES, *NAMES))
    names = {name for parent, _, name in listed if parent == module and name[0] != "_"}
    for target in map(importlib.import_module, MODULES[module]):
        public = getattr(target, "__all__", None) or [
            name for name in dir(target) if name[0] != "_"
        ]
        names.update(name for name in public if not isinstance(getattr(target, name), ModuleType))
    if module == "flax.linen":
        # Names of the sister packages, which need not be installed.
        linen = importlib.import_module(MODULES[module][0])
        names.update(name for name in ("FrozenDict", "tabulate") if hasattr(linen, name))
    return sorted(names)


def _without_counterpart(dotted: str, file: str, line: int) -> str:
    return f"{file}:{line}: Linen has no counterpart of {dotted}. {advice_for(dotted)}"


def _place_of_use() -> tuple[str, int]:
    """Return the file and line of the program that imports or uses a name."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_machinery(frame.f_code.co_filename):
        frame = frame.f_back
    return ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _is_machinery(file: str) -> bool:
    folder = os.path.basename(os.path.dirname(file))
    return file == __file__ or file.startswith("<frozen importlib") or folder == "importlib"
