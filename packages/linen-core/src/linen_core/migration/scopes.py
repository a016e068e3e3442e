"""The scopes of a Python file, and the places that bind and use names in them."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from linen_core.migration.source_text import SourceText

__all__ = ["Binding", "NameUse", "Scope", "ScopeVisitor"]

_STRING_QUOTES = ("'", '"')
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Binding(NamedTuple):
    """A place that binds a name."""

    line: int
    """Its line."""
    statement: ast.Import | ast.ImportFrom | None = None
    """The import; None for an assignment, a parameter, a function and so on."""
    alias: ast.alias | None = None
    """The part of the import that binds the name."""
    is_none: bool = False
    """True for `name = None`."""


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


class ScopeVisitor(ast.NodeVisitor):
    """Collects the scopes, uses and string annotations of a file.

    Args:
      source: the source.

    Example:
      >>> text = "import flax; f = lambda flax: flax.linen"
      >>> visitor = ScopeVisitor(SourceText(text))
      >>> visitor.visit(ast.parse(text))
      >>> [use.scope.find("flax").kind for use in visitor.uses]
      ['function']
    """

    def __init__(self, source: SourceText) -> None:
        self.source = source  #: The source.
        self.scope = Scope("module", None)  #: The scope that is visited.
        self.scopes = [self.scope]  #: All scopes.
        self.uses: list[NameUse] = []  #: All uses.
        self.annotations: list[ast.Constant] = []  #: Annotations that are strings.
        self.unread: list[tuple[ast.Constant, Scope]] = []  #: Those whose names have no position.

    def bind(self, name: str, binding: Binding) -> None:
        """Record a binding in the current scope, or where `global` says."""
        self.scope.declared.get(name, self.scope).bindings[name].append(binding)

    def generic_visit(self, node: ast.AST) -> None:
        """Record names that nodes have as plain strings: `except ... as e`, patterns."""
        name = getattr(node, "rest" if isinstance(node, ast.MatchMapping) else "name", None)
        if isinstance(name, str) and hasattr(node, "lineno"):
            self.bind(name, Binding(node.lineno))
        super().generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Record the names of an import."""
        for alias in node.names:
            name = alias.asname or (
                alias.name.partition(".")[0] if isinstance(node, ast.Import) else alias.name
            )
            self.bind(name, Binding(node.lineno, node, alias))

    visit_ImportFrom = visit_Import  # noqa: N815

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        """Record which scope the names belong to."""
        for name in node.names:
            outer = self.scope.module
            if isinstance(node, ast.Nonlocal) and self.scope.parent is not None:
                outer = self.scope.parent.find(name) or outer
            self.scope.declared[name] = outer

    visit_Nonlocal = visit_Global  # noqa: N815

    def visit_Name(self, node: ast.Name) -> None:
        """Record a use or a binding."""
        if isinstance(node.ctx, ast.Load):
            self.uses.append(NameUse(node, (), self.scope))
        else:
            self.bind(node.id, Binding(node.lineno))

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Bind the target outside the comprehension."""
        self.visit(node.value)
        inner = self.scope
        while self.scope.kind == "comprehension" and self.scope.parent is not None:
            self.scope = self.scope.parent
        self.visit(node.target)
        self.scope = inner

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Record a name with its attributes."""
        attributes: list[ast.Attribute] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            attributes.insert(0, value)
            value = value.value
        if isinstance(value, ast.Name):
            self.uses.append(NameUse(value, tuple(attributes), self.scope))
        else:
            self.visit(value)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Record which names are set to None, as where an import fails."""
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        for target in node.targets:
            if is_none and isinstance(target, ast.Name):
                self.bind(target.id, Binding(node.lineno, is_none=True))
            else:
                self.visit(target)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Record string annotations."""
        self._annotate(node.annotation)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Visit a class, whose bases belong to the scope around it."""
        self.bind(node.name, Binding(node.lineno))
        self._visit_all(*node.decorator_list, *node.bases, *node.keywords)
        self._visit_inside("class", *getattr(node, "type_params", ()), *node.body)

    def visit_FunctionDef(self, node: _Function) -> None:
        """Visit a function, whose defaults and annotations belong to the scope around it."""
        outer: list[ast.expr | None] = [*node.args.defaults, *node.args.kw_defaults]
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        args += [arg for arg in (node.args.vararg, node.args.kwarg) if arg is not None]
        annotations = [arg.annotation for arg in args]
        body: list[ast.AST] = []
        if isinstance(node, ast.Lambda):
            body.append(node.body)
        else:
            self.bind(node.name, Binding(node.lineno))
            outer += node.decorator_list
            annotations.append(node.returns)
            body += [*getattr(node, "type_params", ()), *node.body]
        for annotation in annotations:
            self._annotate(annotation)
        self._visit_all(*outer, *annotations)
        self._visit_inside("function", *body, bound=args)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_ListComp(self, node: _Comprehension) -> None:
        """Visit a comprehension, whose first iterable belongs to the scope around it."""
        first = node.generators[0]
        self.visit(first.iter)
        parts = [first.target, *first.ifs, *node.generators[1:]]
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._visit_inside("comprehension", *parts, *values)

    visit_SetComp = visit_ListComp  # noqa: N815
    visit_DictComp = visit_ListComp  # noqa: N815
    visit_GeneratorExp = visit_ListComp  # noqa: N815

    def _visit_all(self, *nodes: ast.AST | None) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _visit_inside(self, kind: str, *nodes: ast.AST, bound: list[ast.arg] | None = None) -> None:
        self.scope = Scope(kind, self.scope)
        self.scopes.append(self.scope)
        for arg in bound or ():
            self.bind(arg.arg, Binding(arg.lineno))
        self._visit_all(*nodes)
        self.scope = self.scope.parent or self.scope

    def _annotate(self, annotation: ast.expr | None) -> None:
        for node in _string_annotations(annotation):
            self.annotations.append(node)
            tree = _parse_string(node, self.source)
            if tree is None:
                self.unread.append((node, self.scope))
            else:
                self.visit(tree)


def _string_annotations(annotation: ast.AST | None) -> Iterator[ast.Constant]:
    """Yield the strings that are annotations: not those in `Literal["a"]` and `Annotated[x, "a"]`."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        yield annotation
    elif isinstance(annotation, ast.Subscript):
        name = ast.unparse(annotation.value).rpartition(".")[2]
        if name == "Annotated" and isinstance(annotation.slice, ast.Tuple):
            yield from _string_annotations(annotation.slice.elts[0])
        elif name != "Literal":
            yield from _string_annotations(annotation.slice)
    elif annotation is not None:
        for child in ast.iter_child_nodes(annotation):
            yield from _string_annotations(child)


def _parse_string(node: ast.Constant, source: SourceText) -> ast.expr | None:
    """Return the expression in a string, with its position in the file; None if it has escapes or lines."""
    text = str(node.value)
    if "\n" in text or source.text_of(node) not in [
        quote + text + quote for quote in _STRING_QUOTES
    ]:
        return None
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return None
    for part in ast.walk(tree):
        if isinstance(part, ast.expr):
            part.lineno = part.end_lineno = node.lineno
            part.col_offset += node.col_offset + 1
            part.end_col_offset = (part.end_col_offset or 0) + node.col_offset + 1
    return tree.body
