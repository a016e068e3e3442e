"""Public names, imported on first use.

The stub `__init__.pyi` is the one list of what `linen_core` offers. Type checkers read it, and this file reads it at
run time: its line `from linen_core.layers.dense import Dense as Dense` says which file to import when `Dense` is first
used. Making all layer classes at once would take longer than the rest of `import linen_core`.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from linen_core._optional_packages import import_optional

__all__ = ["lazy_names"]

_ROOT = "linen_core"


def _read_stub() -> dict[str, tuple[str, str | None]]:
    """Return where each public name comes from: a module and a name in it, None for the module itself."""
    homes: dict[str, tuple[str, str | None]] = {}
    for line in ast.parse(pkgutil.get_data(_ROOT, "__init__.pyi") or b"").body:
        match line:
            case ast.ImportFrom(module=str(module), names=names):
                homes |= {alias.name: (module, alias.name) for alias in names}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=module)):
                homes[name] = (module, None)
    return homes


_HOMES = _read_stub()


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _ROOT


def _load(name: str) -> Any:
    module, attribute = _HOMES[name]
    if not _is_ours(module):
        return import_optional(module, attribute)
    if module == _ROOT:
        return importlib.import_module(f"{_ROOT}.{name}")
    # As the statement `from module import name` does: a name that `module` lacks may be a file of its folder.
    return getattr(__import__(module, fromlist=[name]), name)


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], Sequence[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package whose names are imported on first use.

    Args:
      package: ``linen_core``, or a folder of it: then the names that come from its files.
    """
    names = {
        name
        for name, (module, _) in _HOMES.items()
        if package == _ROOT or module.startswith(f"{package}.")
    }

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name not in names:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[package])
        value = _load(name)
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    declared = sorted(name for name in names if _is_ours(_HOMES[name][0]))

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *declared})

    return __getattr__, __dir__, declared


class _PathFinder(MetaPathFinder, Loader):
    """Imports a module by its name in the stub: `linen_core.linear` for `linen_core.layers.linear`.

    These are the paths that programs know from flax. Both paths give the same module object.
    """

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package != _ROOT or _HOMES.get(name, (_ROOT, name))[0] == _ROOT:
            return None
        return ModuleSpec(fullname, self) if isinstance(_load(name), ModuleType) else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = _load(module.__name__.rpartition(".")[2])


sys.meta_path.append(_PathFinder())
