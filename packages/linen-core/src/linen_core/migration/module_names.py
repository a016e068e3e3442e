"""Local names of flax modules: `flax`, `nn`, `core`, and the edits of their uses."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Sequence

from linen_core.migration.findings import Finding, no_counterpart
from linen_core.migration.flax_names import MODULES, NAMES, Counterpart, counterpart
from linen_core.migration.scopes import Binding, NameUse
from linen_core.migration.source_text import Edit, SourceText

__all__ = ["ModuleName", "is_flax", "module_of"]


def is_flax(dotted: str) -> bool:
    """Return whether a dotted name belongs to flax.

    Example:
      >>> is_flax("flax.linen"), is_flax("flaxmodels")
      (True, False)
    """
    return dotted.partition(".")[0] == "flax"


def module_of(binding: Binding) -> str | None:
    """Return the flax module that an import binds a name to; None for other bindings.

    Example:
      >>> statement = ast.parse("from flax import linen as nn").body[0]
      >>> module_of(Binding(1, statement, statement.names[0]))
      'flax.linen'
    """
    statement, alias = binding.statement, binding.alias
    if statement is None or alias is None:
        return None
    if isinstance(statement, ast.Import):
        dotted = alias.name if alias.asname else alias.name.partition(".")[0]
        return dotted if is_flax(dotted) else None
    dotted = f"{statement.module}.{alias.name}"
    return dotted if statement.level == 0 and dotted in MODULES else None


class ModuleName:
    """A local name of a flax module in one scope.

    A name whose module has one counterpart keeps its uses: `nn.Dense` after `import linen_core as nn`. Uses of other
    names (`flax`, `core`) become full names of Linen, and their imports become those that the uses need.

    Args:
      name: the local name.
      bindings: every place that binds it in its scope.
      uses: every use that refers to it.
      source: the source.
      free: whether `flax` can be imported in the file, which has no other meaning of that name.
    """

    def __init__(
        self,
        name: str,
        bindings: Sequence[Binding],
        uses: Sequence[NameUse],
        source: SourceText,
        *,
        free: bool,
    ) -> None:
        self.name = name  #: The local name.
        self.bindings = bindings  #: Every place that binds it.
        modules = [module_of(binding) for binding in bindings]
        self.module = next(filter(None, modules))  #: The module of flax.
        self.is_kept = len(MODULES.get(self.module, ())) == 1  #: Whether uses keep the name.
        self.needs: dict[str, None] = {}  #: Modules of Linen that the new uses need, in order.
        self.keeps_flax = self.module not in MODULES  #: Whether the import of flax must remain.
        self.missing: list[str] = []  #: Names of flax that the uses still need.
        self.findings: list[Finding] = []  #: Uses that are left.
        self.edits: list[Edit] = []  #: Edits of uses.
        # `flax = None` after a failed import is only of interest where the name itself is used.
        is_mixed = len({module_of(one) for one in bindings if not one.is_none}) > 1
        self.is_left = self.keeps_flax  #: Whether imports and uses remain as they are.
        if self.keeps_flax:
            return  # The import is a finding already.
        for use in uses:
            self._visit_use(use, source)
        is_mixed |= len(set(modules)) > 1 and self.module in self.missing
        needs_edits = not self.is_kept or self.keeps_flax or bool(self.needs)
        if (is_mixed and needs_edits) or (self.is_kept and self.keeps_flax and not free):
            self._leave()

    def _leave(self) -> None:
        """Leave the name: some bindings are not imports of this module."""
        other = next((b for b in self.bindings if module_of(b) != self.module), self.bindings[0])
        text = f"`{self.name}` is {self.module} or something else in the same scope. Give them different names."
        self.findings.append(Finding(other.line, text))
        self.edits, self.needs = [], {}
        self.keeps_flax = self.is_left = True

    def _visit_use(self, use: NameUse, source: SourceText) -> None:
        dotted, count, target = _resolve([part.attr for part in use.attributes], self.module)
        last = use.attributes[count - 1] if count else use.root
        if target is None:
            self.keeps_flax = True
            self.missing.append(dotted)
            if self.module == dotted:
                text = f"`{self.name}` is used as a value, and Linen has several modules for {dotted}. Name the module."
                self.findings.append(Finding(use.root.lineno, text))
            else:
                self.findings.append(no_counterpart(last, dotted))
        if self.is_kept and target is not None and not _is_elsewhere(dotted):
            return
        # The root of a chain is replaced alone where its name is to come from flax.
        end = source.end(last if target is not None else use.root)
        span = source.data[source.start(use.root) : end].decode(errors="replace")
        old = ".".join([self.name, *(part.attr for part in use.attributes[:count])])
        expected = old if target is not None else self.name
        if "".join(span.replace("\\", "").split()) != expected:
            self.keeps_flax = True
            text = f"`{old}` is inside a string, or has comments or parentheses inside. Write it as one word."
            self.findings.append(Finding(use.root.lineno, text))
        elif target is not None:
            self.needs[target.module] = None
            self.edits.append(Edit(source.start(use.root), end, str(target)))
        elif self.is_kept:
            self.edits.append(Edit(source.start(use.root), end, self.module))

    def new_aliases(self, binding: Binding, block: Sequence[str]) -> list[str]:
        """Return the modules that an import of an edited name imports instead: `["linen_core", "flax"]`.

        Args:
          binding: the import.
          block: the modules that the imports of this name in the same block import.
        """
        alias = binding.alias
        if alias is None or isinstance(binding.statement, ast.ImportFrom) or alias.asname:
            return list(self.needs)
        # `import flax` brings everything that the imports of single modules beside it do not.
        singles = {name: MODULES[name][0] for name in block if len(MODULES.get(name, ())) == 1}
        own = singles.get(alias.name)
        is_main = own is None or (len(singles) == len(block) and block[0] == alias.name)
        result = [own] if own in self.needs or (own and not self.keeps(alias, block)) else []
        if is_main:
            result += [target for target in self.needs if target not in singles.values()]
        return [target for target in result if target is not None]

    def keeps(self, alias: ast.alias, block: Sequence[str]) -> bool:
        """Return whether an import of flax remains beside the new ones."""
        if not self.missing or not alias.name.startswith("flax.") or alias.asname:
            return self.keeps_flax
        return block[0] == alias.name or any(
            name.startswith(f"{alias.name}.") for name in self.missing
        )


def _is_elsewhere(dotted: str) -> bool:
    """Return whether the module of Linen in place of a name's module lacks the name."""
    module, _, name = dotted.rpartition(".")
    targets = map(importlib.import_module, MODULES.get(module, ()))
    return dotted in NAMES and not any(hasattr(target, name) for target in targets)


def _resolve(attributes: Sequence[str], module: str) -> tuple[str, int, Counterpart | None]:
    """Return the name of flax that a chain begins with, its number of attributes, and its counterpart."""
    dotted, count = module, 0
    while count < len(attributes) and f"{dotted}.{attributes[count]}" in MODULES:
        dotted, count = f"{dotted}.{attributes[count]}", count + 1
    if count < len(attributes):
        dotted, count = f"{dotted}.{attributes[count]}", count + 1
    return dotted, count, counterpart(dotted)
