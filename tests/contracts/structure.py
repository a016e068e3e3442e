"""Rules about the import graph of a whole package: no circle, and files that stay small."""

from __future__ import annotations

import statistics
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
