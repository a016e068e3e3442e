"""The rules of the design that can be read off the source, each a function over one file's syntax tree.

A rule takes a `Source` and yields one line for each violation. The rules know nothing of the disk:
a test gives them the real files, another a few lines that break them.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
COMPAT = "_jax_compat"
JAX_INTERNALS = ("jax._src", "jax.extend", "jax.interpreters")
IMPORTERS = ("importlib.import_module", "import_module", "__import__")
ALWAYS_ALLOWED = frozenset({"jax", "jaxlib", "numpy"})
ABSOLUTE_PATH = re.compile(r"(?<![\w./<~])/(?:home|root|Users|work|opt|mnt|private)/[\w.]")


@dataclasses.dataclass(frozen=True)
class Source:
    """One Python file of a package."""

    module: str
    """Its dotted name, `linen_core.store` for `linen_core/store/__init__.py`."""

    text: str
    is_face: bool = False
    """Whether it is the `__init__` of its package's root."""

    stub: str | None = None
    """The text of the stub that type checkers read in its place."""

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room(self) -> str:
        """The file or folder of the root that it lies in: the name that the floors know it by."""
        return "__init__" if self.is_face else self.module.split(".")[1]

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported thing: `from a.b import c` is module `a.b`, name `c`."""

    module: str
    name: str | None
    line: int

    @property
    def dotted(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


def imports(tree: ast.Module) -> Iterator[Import]:
    """All imports of a file, at any depth and by a string too; a relative one keeps its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            names = [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
            yield from (Import(str(name), None, node.lineno) for name in names)


def absolute_imports(source: Source) -> Iterator[str]:
    for item in imports(source.tree):
        if item.module.startswith("."):
            yield f"{source.module}:{item.line} imports relatively from {item.module}"


def no_import_of_own_root(source: Source, modules: Mapping[str, Source]) -> Iterator[str]:
    """A submodule may be imported from its root by name; anything else there may not."""
    for item in imports(source.tree):
        is_submodule = item.name is not None and item.dotted in _submodules(modules)
        if item.module == source.package and not is_submodule:
            yield f"{source.module}:{item.line} imports {item.dotted} from its own root"


def no_upward_import(
    source: Source, floors: Sequence[Sequence[str]], modules: Mapping[str, Source]
) -> Iterator[str]:
    """A room imports from itself and from the rooms of lower floors."""
    levels = {room: level for level, floor in enumerate(floors) for room in floor}
    if source.room not in levels:
        yield f"{source.module} stands on no floor"
        return
    for item in imports(source.tree):
        target = item.dotted if item.module == source.package else item.module
        if not target.startswith(f"{source.package}.") or target.split(".")[1] == source.room:
            continue
        room = target.split(".")[1]
        if room not in levels:
            yield f"{source.module}:{item.line} imports {target}, which stands on no floor"
        elif levels[room] >= levels[source.room]:
            yield f"{source.module}:{item.line} imports {target} from no lower floor"


def jax_internals_in_one_file(source: Source) -> Iterator[str]:
    if source.room == COMPAT:
        return
    uses = [(item.line, item.dotted) for item in imports(source.tree)]
    uses += [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
    ]
    for line, dotted in uses:
        if any(dotted == inner or dotted.startswith(f"{inner}.") for inner in JAX_INTERNALS):
            yield f"{source.module}:{line} uses {dotted} outside {COMPAT}"


def only_declared_imports(source: Source, declared: frozenset[str]) -> Iterator[str]:
    """Only the standard library, JAX, numpy, the package itself and what its project file names."""
    known = ALWAYS_ALLOWED | declared | sys.stdlib_module_names | {source.package}
    for item in imports(source.tree):
        if item.module.partition(".")[0] not in known and not item.module.startswith("."):
            yield f"{source.module}:{item.line} imports {item.module}, which its package does not depend on"


def only_public_names_of_core(source: Source, modules: Mapping[str, Source]) -> Iterator[str]:
    """A sister package uses linen_core as a user would: names without underscore, in an `__all__`."""
    nicknames = _names_of_core_modules(source, modules)
    for item in imports(source.tree):
        if item.module.partition(".")[0] == "linen_core" and not _is_public(item.dotted, modules):
            yield f"{source.module}:{item.line} imports {item.dotted}, which is not public"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in nicknames:
            dotted = f"{nicknames[ast.unparse(node.value)]}.{node.attr}"
            if not _is_public(dotted, modules):
                yield f"{source.module}:{node.lineno} uses {dotted}, which is not public"


def _names_of_core_modules(source: Source, modules: Mapping[str, Source]) -> dict[str, str]:
    """What the file calls the modules of linen_core: {"nn": "linen_core"}."""
    found = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "linen_core":
                    found[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                if dotted in _submodules(modules) and node.module.partition(".")[0] == "linen_core":
                    found[alias.asname or alias.name] = dotted
    return found


def _is_public(dotted: str, modules: Mapping[str, Source]) -> bool:
    if any(part.startswith("_") and not part.startswith("__") for part in dotted.split(".")):
        return False
    if dotted in _submodules(modules):
        return True
    module, _, name = dotted.rpartition(".")
    return module in modules and name in (declared_names(modules[module], modules) or ())


def _submodules(modules: Mapping[str, Source]) -> set[str]:
    """Names of the modules and of the packages above them."""
    return {
        ".".join(parts[:depth])
        for parts in (name.split(".") for name in modules)
        for depth in range(1, len(parts) + 1)
    }


def declared_names(source: Source, modules: Mapping[str, Source]) -> list[str] | None:
    """The names of the stub, else those that `__all__` lists, else those re-exported; None where there is none."""
    if source.stub is not None:
        return list(_reexported(ast.parse(source.stub), modules))
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return [str(name) for name in ast.literal_eval(value)]
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return [str(name) for name in ast.literal_eval(value)]
    return list(_reexported(source.tree, modules)) or None


def _reexported(tree: ast.Module, modules: Mapping[str, Source]) -> Iterator[str]:
    """The names that a type checker takes as imported for others: `as` the same name, or with a star."""
    for item in tree.body:
        match item:
            case ast.ImportFrom(module=str(module), names=[ast.alias(name="*")]):
                yield from declared_names(modules[module], modules) or ()
            case ast.ImportFrom(names=names):
                yield from (alias.name for alias in names if alias.asname == alias.name)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name()) if name != "__all__":
                yield name  # a module under another name: `summary = linen_summary`


def declares_names(source: Source, modules: Mapping[str, Source]) -> Iterator[str]:
    if declared_names(source, modules) is None:
        yield f"{source.module} has no __all__"


def face_defines_nothing(source: Source) -> Iterator[str]:
    """The root's `__init__` imports and says `__all__`: no function, no class, no other statement."""
    if not source.is_face:
        return
    for node in source.tree.body[1:]:
        is_names = isinstance(node, ast.Assign) and _are_dunders(node.targets[0])
        if not isinstance(node, ast.Import | ast.ImportFrom) and not is_names:
            yield f"{source.module}:{node.lineno} defines something in the face"


def _are_dunders(target: ast.expr) -> bool:
    targets = target.elts if isinstance(target, ast.Tuple) else [target]
    return all(ast.unparse(name).startswith("__") for name in targets)


def short_file(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > MAX_FILE_LINES:
        yield f"{source.module} has {lines} lines, more than {MAX_FILE_LINES}"


def short_functions(source: Source) -> Iterator[str]:
    """A function's body, without its docstring, fits one screen."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        if lines > MAX_FUNCTION_LINES:
            yield f"{source.module}:{node.lineno} {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"


def parameters(source: Source) -> Iterator[tuple[str, str | None]]:
    """Where each parameter of each function is, and its annotation; `self` and `cls` without one are left out."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        args = node.args
        given = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        for arg in filter(None, given):
            if arg.annotation is not None or arg.arg not in ("self", "cls"):
                text = None if arg.annotation is None else ast.unparse(arg.annotation)
                yield f"{source.module}:{arg.lineno} {node.name}({arg.arg})", text


def public_docstrings(source: Source) -> Iterator[str]:
    """The module and its public functions and classes; methods are looked at in their classes."""
    if ast.get_docstring(source.tree) is None:
        yield f"{source.module} has no docstring"
    for node in source.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        is_overload = any(ast.unparse(mark).endswith("overload") for mark in node.decorator_list)
        if ast.get_docstring(node) is None and not is_overload:
            yield f"{source.module}:{node.lineno} {node.name} has no docstring"


def no_machine_paths(name: str, text: str) -> Iterator[str]:
    """Any text file: no absolute path of somebody's machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if match := ABSOLUTE_PATH.search(line):
            yield f"{name}:{number} names a path of one machine: {match.group()}"
