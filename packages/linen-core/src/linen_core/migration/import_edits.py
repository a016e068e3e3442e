"""Edits of import statements."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from linen_core.migration.findings import Finding, no_counterpart
from linen_core.migration.flax_names import MODULES, counterpart
from linen_core.migration.module_names import ModuleName, is_flax
from linen_core.migration.scopes import Binding
from linen_core.migration.source_text import Edit, SourceText

__all__ = ["ImportEditor"]

_Part = tuple[str | None, str]
"""The module of a `from` import, or None, and one of the names that are imported."""


class ImportEditor:
    """Rewrites the import statements of one file.

    Args:
      source: the source.
      tree: its syntax tree.
      names: the local names of flax modules, by the identity of the alias that binds them.
      unbound: the names that the file uses and does not bind; `from flax.linen import *` may bring them.
    """

    def __init__(
        self,
        source: SourceText,
        tree: ast.Module,
        names: Mapping[int, tuple[ModuleName, Binding]],
        unbound: Collection[str] = (),
    ) -> None:
        self.source, self.names, self.unbound = source, names, unbound  #: See the arguments.
        self.findings: list[Finding] = []  #: Imports that are left.
        self.edits: list[Edit] = []  #: Edits of the statements.
        self._blocks = {
            id(statement): block
            for node in ast.walk(tree)
            for block in vars(node).values()
            if isinstance(block, list)
            for statement in block
            if isinstance(statement, ast.stmt)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._visit_import(node)
            elif (
                isinstance(node, ast.ImportFrom) and node.level == 0 and is_flax(node.module or "")
            ):
                self._visit_from(node)

    def _visit_import(self, node: ast.Import) -> None:
        indentation = self.source.indentation(node) if len(node.names) == 1 else None
        separator = ", "
        if indentation is not None:
            separator = f"{self.source.newline}{indentation}import "
        for alias in node.names:
            if not is_flax(alias.name):
                continue
            if alias.name not in MODULES:
                self.findings.append(no_counterpart(alias, alias.name))
                continue
            text = separator.join(self._parts_of_alias(node, alias))
            if text != self.source.text_of(alias):
                self._edit(alias, text)

    def _parts_of_alias(self, node: ast.Import, alias: ast.alias) -> list[str]:
        old = self.source.text_of(alias)
        name, binding = self.names[id(alias)]
        if name.is_left:
            return [old]
        if name.is_kept:
            new = f"{MODULES[name.module][0]} as {name.name}"
            return [new, *name.needs, *([name.module] if name.keeps_flax else [])]
        block = self._block_modules(node, name)
        parts = name.new_aliases(binding, block)
        if name.keeps(alias, block):
            parts.append(old)
        return parts or ["linen_core"]

    def _block_modules(self, node: ast.stmt, name: ModuleName) -> list[str]:
        """Return the modules that the imports of a name in the same block import."""
        block = self._blocks[id(node)]
        return [
            binding.alias.name
            for binding in name.bindings
            if binding.alias is not None and any(binding.statement is one for one in block)
        ]

    def _visit_from(self, node: ast.ImportFrom) -> None:
        parts = [part for alias in node.names for part in self._parts_of_name(node, alias)]
        old = [(node.module, self.source.text_of(alias)) for alias in node.names]
        if parts == old:
            return
        modules = {module for module, _ in parts}
        if len(modules) == 1 and [text for _, text in parts] == [text for _, text in old]:
            start = self.source.data.find(
                (node.module or "").encode(), self.source.start(node) + len("from ")
            )
            if 0 <= start < self.source.start(node.names[0]):
                end = start + len((node.module or "").encode())
                self.edits.append(Edit(start, end, str(parts[0][0])))
                return
        self._replace_statement(node, parts)

    def _replace_statement(self, node: ast.ImportFrom, parts: Sequence[_Part]) -> None:
        groups: dict[tuple[str | None, bool], list[str]] = {}
        for module, text in dict.fromkeys(parts):
            groups.setdefault((module, text == "*"), []).append(text)
        lines = [f"import {text}" for text in groups.pop((None, False), [])]
        lines += [
            f"from {module} import {', '.join(texts)}" for (module, _), texts in groups.items()
        ]
        indentation = self.source.indentation(node)
        span = self.source.start(node), self.source.end(node)
        comments = [token.string for token in self.source.comment_tokens(*span)]
        if indentation is None:
            if comments:
                text = "The import shares its line and has comments inside. Put it on lines of its own."
                self.findings.append(Finding(node.lineno, text))
                return
            self._edit(node, "; ".join(lines))
        else:
            self._edit(node, f"{self.source.newline}{indentation}".join([*comments, *lines]))

    def _edit(self, node: ast.stmt | ast.alias, text: str) -> None:
        self.edits.append(Edit(self.source.start(node), self.source.end(node), text))

    def _parts_of_name(self, node: ast.ImportFrom, alias: ast.alias) -> list[_Part]:
        old: _Part = (node.module, self.source.text_of(alias))
        dotted = f"{node.module}.{alias.name}"
        if alias.name == "*":
            targets = MODULES.get(node.module or "", ())
            if len(targets) == 1:
                return [(targets[0], "*"), *self._beside_star(node.module or "", targets[0])]
            text = f"The names of `from {node.module} import *` are in several modules. Import them by name."
            self.findings.append(Finding(node.lineno, text))
            return [old]
        if id(alias) in self.names:
            return self._parts_of_module(alias, old)
        target = counterpart(dotted)
        if target is None:
            self.findings.append(no_counterpart(alias, dotted))
            return [old]
        return [(target.module, old[1])]

    def _beside_star(self, module: str, target: str) -> Iterator[_Part]:
        """Yield names that the file uses, and that the star of flax brings and that of Linen does not."""
        brought = getattr(importlib.import_module(target), "__all__", ())
        for name in sorted(set(self.unbound) - set(brought)):
            found = counterpart(f"{module}.{name}")
            if found is None:
                continue
            parent, _, last = str(found).rpartition(".")
            yield (parent, last) if last == name else (None, f"{found} as {name}")

    def _parts_of_module(self, alias: ast.alias, old: _Part) -> list[_Part]:
        name, binding = self.names[id(alias)]
        if name.is_left:
            return [old]
        if not name.is_kept:
            parts: list[_Part] = [(None, one) for one in name.new_aliases(binding, ())]
            if not parts and not name.keeps_flax:
                text = f"`{name.name}` is not used here, and Linen has several modules for {name.module}. Remove it."
                self.findings.append(Finding(alias.lineno, text))
                return [old]
            return [*parts, *([old] if name.keeps_flax else [])]
        target = MODULES[name.module][0]
        parent, _, last = target.rpartition(".")
        if parent and last == alias.name:
            new: _Part = (parent, old[1])
        else:
            new = (None, target if target == name.name else f"{target} as {name.name}")
        further = [*name.needs, *([name.module] if name.keeps_flax else [])]
        return [new, *((None, one) for one in further)]
