"""Rules about the import graph of a whole package: no circle, and files that stay small."""

from __future__ import annotations

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from contracts.rules import Source, imports

MAX_MEDIAN_LINES = 150


def import_graph(modules: Mapping[str, Source]) -> dict[str, set[str]]:
    """Return which files of a package each file imports, type-checking imports and imports by string included.

    `from a.b import c` is an import of the file `a.b.c` if there is one, else of `a.b`. The packages that Python
    imports on the way to a file are left out: every `__init__` that re-exports names would be a circle.
    """
    graph: dict[str, set[str]] = {}
    for name, source in modules.items():
        found = graph[name] = set()
        for item in imports(source.tree):
            target = item.dotted if item.dotted in modules else item.module
            if target in modules and target != name:
                found.add(target)
    return graph


def import_circles(modules: Mapping[str, Source]) -> Iterator[str]:
    """Yield one line for each import that closes a circle."""
    graph = import_graph(modules)
    done: set[str] = set()

    def visit(name: str, trail: Sequence[str]) -> Iterator[str]:
        if name in trail:
            yield " -> ".join([*trail[trail.index(name) :], name])
        elif name not in done:
            for target in sorted(graph[name]):
                yield from visit(target, [*trail, name])
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, [])


def small_median(modules: Mapping[str, Source]) -> Iterator[str]:
    median = statistics.median(source.text.count("\n") for source in modules.values())
    if median > MAX_MEDIAN_LINES:
        yield f"the median file has {median:g} lines, more than {MAX_MEDIAN_LINES}"


def repeated_private_names(modules: Mapping[str, Source]) -> Iterator[str]:
    """Yield the private functions, classes and constants that two files define. Type variables may repeat."""
    homes: dict[str, list[str]] = defaultdict(list)
    for source in modules.values():
        for name in _private_names(source.tree):
            homes[name].append(source.module)
    for name, where in homes.items():
        if len(where) > 1:
            yield f"{name} is defined in {', '.join(where)}"


def _private_names(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names = [name]
            case ast.Assign(targets=targets, value=value) if not _is_type_variable(value):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if name.startswith("_") and not name.startswith("__"))


def _is_type_variable(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"
