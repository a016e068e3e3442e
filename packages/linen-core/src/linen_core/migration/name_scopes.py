"""Collects where a Python file binds and uses names."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from linen_core.migration.scopes import Binding, NameUse, Scope

__all__ = ["ScopeVisitor"]

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class ScopeVisitor(ast.NodeVisitor):
    """Collects the scopes, uses and string annotations of a file.

    Example:
      >>> visitor = ScopeVisitor()
      >>> visitor.visit(ast.parse("import flax; f = lambda flax: flax.linen"))
      >>> [use.scope.find("flax").kind for use in visitor.uses]
      ['function']
    """

    def __init__(self) -> None:
        self.scope = Scope("module", None)  #: The scope that is visited.
        self.scopes = [self.scope]  #: All scopes.
        self.uses: list[NameUse] = []  #: All uses.
        self.annotations: list[tuple[ast.Constant, Scope]] = []  #: Annotations that are strings.

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
        self.annotations += [(node, self.scope) for node in _strings_of(annotation)]


def _strings_of(annotation: ast.expr | None) -> Iterator[ast.Constant]:
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
