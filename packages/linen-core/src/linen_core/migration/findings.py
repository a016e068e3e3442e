"""Places that the migration leaves as they are, and why."""

from __future__ import annotations

import ast
from typing import NamedTuple

from linen_core.migration.flax_names import advice_for
from linen_core.migration.source_text import Edit

__all__ = ["Finding", "Rewrite", "SourceEdits", "UnreadableError", "no_counterpart"]


class Finding(NamedTuple):
    """A line that is left as it is."""

    line: int
    """The line, from 1."""
    text: str
    """The reason, and what to do."""
    needs_person: bool = True
    """True if the program may break until somebody looks at the line."""
    cell: int | None = None
    """The cell of a notebook, from 1."""

    def describe(self, path: str) -> str:
        """Return one line for a terminal.

        Example:
          >>> Finding(3, "Look at it.", cell=2).describe("a.ipynb")
          'a.ipynb: cell 2, line 3: Look at it.'
        """
        place = self.line if self.cell is None else f" cell {self.cell}, line {self.line}"
        return f"{path}:{place}: {self.text}"


class SourceEdits(NamedTuple):
    """The changes of a source, and the lines that are left."""

    edits: list[Edit]
    """The edits."""
    findings: list[Finding]
    """The lines that are left."""


class Rewrite(NamedTuple):
    """The result for one file."""

    data: bytes
    """The new content; the old one if nothing changes."""
    findings: list[Finding]
    """The lines that are left."""
    packages: frozenset[str] = frozenset()
    """The packages out of flax, linen_core, linen_store and linen_summary that the new content uses."""


class UnreadableError(ValueError):
    """A file cannot be read, parsed or written. It is left as it is."""


def no_counterpart(node: ast.expr | ast.stmt | ast.alias, dotted: str) -> Finding:
    """Return the finding for a name of flax that Linen lacks.

    Example:
      >>> no_counterpart(ast.parse("flax.optim").body[0], "flax.optim").text
      'Linen has no counterpart of flax.optim. flax removed it in 2022. Use optax.'
    """
    return Finding(node.lineno, f"Linen has no counterpart of {dotted}. {advice_for(dotted)}")
