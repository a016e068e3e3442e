"""Public names, imported on first use, from this package or from linen-store and linen-summary.

The stub `__init__.pyi` beside an `__init__.py` is the one list of the names of that package. Type checkers read it, and
this file reads it at run time: its line `from linen_core.layers.dense import Dense as Dense` says which file to import
when `Dense` is first used. Making all layer classes at once would take longer than the rest of `import linen_core`.
"""

from __future__ import annotations

import ast
import functools
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeAlias

__all__ = ["declare_imported", "import_optional", "lazy_names"]

_ROOT = "linen_core"

Home: TypeAlias = tuple[str, str | None]
"""A module, and the name to take from it; None for the module itself."""


def import_optional(package: str, name: str | None) -> Any:
    """Import a sister package, which need not be installed, and return one of its names.

    Args:
      package: import name, ``linen_store`` or ``linen_summary``.
      name: the name in it; None for the package itself.

    Raises:
      ImportError: the package is not installed.
    """
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        distribution = package.replace("_", "-")
        msg = f"`{name or package}` is part of {distribution}, which is not installed. Run: pip install {distribution}"
        raise ImportError(msg, name=package) from error
    return module if name is None else getattr(module, name)


@functools.cache
def _homes(package: str) -> dict[str, Home]:
    """Return where each name of a package comes from, as its stub says."""
    homes: dict[str, Home] = {}
    stub = "/".join([*package.split(".")[1:], "__init__.pyi"])
    for line in ast.parse(pkgutil.get_data(_ROOT, stub) or b"").body:
        match line:
            case ast.ImportFrom(module=str(module), names=[ast.alias(name="*")]):
                homes |= _homes(module)
            case ast.ImportFrom(module=str(module), names=names):
                homes |= {alias.name: (module, alias.name) for alias in names}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=module)):
                homes[name] = (module, None)
    return homes


def _is_ours(home: Home) -> bool:
    return home[0].partition(".")[0] == _ROOT


def _load(home: Home) -> Any:
    module, name = home
    if name is None or not _is_ours(home):
        return import_optional(module, name)
    if module == _ROOT:
        return importlib.import_module(f"{module}.{name}")
    # As the statement `from module import name` does: a name that `module` lacks may be a file of its folder.
    return getattr(__import__(module, fromlist=[name]), name)


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], Sequence[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package that has a stub."""
    homes = _homes(package)
    declared = sorted(name for name, home in homes.items() if _is_ours(home))
    # `from linen_core import *` leaves out its files, such as `typing`: programs have modules of these names.
    names = [name for name in declared if homes[name] != (_ROOT, name)]

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[package])
        value = _load(homes[name])
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *declared})

    return __getattr__, __dir__, names


def declare_imported(package: str) -> None:
    """Set `__all__` of a package to the public names that it imported from its files, the files themselves left out."""
    names = vars(sys.modules[package])
    names["__all__"] = sorted(
        name
        for name, value in names.items()
        if not (name.startswith("_") or isinstance(value, ModuleType))
    )


class _PathFinder(MetaPathFinder, Loader):
    """Imports `linen_core.linear`, the path that programs know from flax, as `linen_core.layers.linear`.

    The rule: a module that the stub lists under another name than its own can be imported by both. There is one module
    object.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        home = _homes(_ROOT).get(name)
        if package != _ROOT or home is None or home[0] == _ROOT:
            return None
        return ModuleSpec(fullname, self) if isinstance(_load(home), ModuleType) else None

    def exec_module(self, module: ModuleType) -> None:
        # As a file that says `sys.modules[__name__] = ...`: the import system takes the module that it finds there.
        sys.modules[module.__name__] = _load(_homes(_ROOT)[module.__name__.rpartition(".")[2]])


sys.meta_path.append(_PathFinder())
