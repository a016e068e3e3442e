"""The scopes of a Python file, and what binds and uses names in them."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import NamedTuple

__all__ = ["Binding", "NameUse", "Scope"]


class Binding(NamedTuple):
    """A place that binds a name."""

    line: int
    """Its line."""
    statement: ast.Import | ast.ImportFrom | None = None
    """The import; None for an assignment, a parameter, a function and so on."""
    alias: ast.alias | None = None
    """The part of the import that binds the name."""


class NameUse(NamedTuple):
    """A name with the attributes that follow it: `flax.linen.Dense`."""

    root: ast.Name
    """The name."""
    attributes: tuple[ast.Attribute, ...]
    """The attributes, from the left."""
    scope: Scope
    """The scope that the use is in."""


class Scope:
    """The names that a module, class, function or comprehension binds."""

    def __init__(self, kind: str, parent: Scope | None) -> None:
        self.kind = kind  #: "module", "class", "function" or "comprehension".
        self.parent = parent  #: The scope around it.
        self.bindings: dict[str, list[Binding]] = defaultdict(list)  #: Places by name.
        self.declared: dict[str, Scope] = {}  #: The scopes of names in `global` statements.

    @property
    def module(self) -> Scope:
        """The scope of the file."""
        return self if self.parent is None else self.parent.module

    def find(self, name: str) -> Scope | None:
        """Return the scope whose binding a use of the name here refers to."""
        if name in self.declared:
            return self.declared[name]
        scope: Scope | None = self
        while scope is not None:
            # Functions do not see the names of the class around them.
            if name in scope.bindings and (scope is self or scope.kind != "class"):
                return scope
            scope = scope.parent
        return None
