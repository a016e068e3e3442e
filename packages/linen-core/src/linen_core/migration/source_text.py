"""Python source with exact positions, and edits that leave every other byte as it is."""

from __future__ import annotations

import ast
import contextlib
import functools
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from typing import Any, AnyStr, NamedTuple

__all__ = ["Edit", "SourceText", "apply_edits"]


class Edit(NamedTuple):
    """A replacement of the bytes or letters from `start` to `end`."""

    start: int
    """The first one."""
    end: int
    """The one after the last."""
    text: str
    """The new text."""


def apply_edits(data: AnyStr, edits: Iterable[Edit]) -> AnyStr:
    """Return bytes or a text with the edits, which must not overlap.

    Example:
      >>> apply_edits(b"import flax", [Edit(7, 11, "linen_core")])
      b'import linen_core'
    """
    pieces: list[Any] = []
    done = 0
    for edit in sorted(set(edits)):
        new = edit.text if isinstance(data, str) else edit.text.encode()
        pieces += [data[done : edit.start], new]
        done = edit.end
    pieces.append(data[done:])
    return data[:0].join(pieces)


class SourceText:
    """Python source as UTF-8, with the offsets of the nodes of its syntax tree.

    Example:
      >>> source = SourceText("x = 1; y = 'é'")
      >>> source.text_of(ast.parse("x = 1; y = 'é'").body[1])
      "y = 'é'"
    """

    def __init__(self, text: str) -> None:
        self.data = text.encode()  #: The source in UTF-8, in which columns of `ast` count.

    @functools.cached_property
    def line_starts(self) -> list[int]:
        """The offset of each line. Lines end as in Python's parser: not at form feeds."""
        return [0, *(end.end() for end in re.finditer(rb"\r\n|\r|\n", self.data))]

    @property
    def newline(self) -> str:
        """The line ending of the first line."""
        for ending in ("\r\n", "\n", "\r"):
            if self.line_starts[1:] and self.data[: self.line_starts[1]].endswith(ending.encode()):
                return ending
        return "\n"

    def start(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        """Return the offset of the first byte of a node."""
        return self.line_starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        """Return the offset after the last byte of a node."""
        return self.line_starts[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)

    def text_of(self, node: ast.expr | ast.stmt | ast.alias) -> str:
        """Return the source of a node."""
        return self.data[self.start(node) : self.end(node)].decode()

    def indentation(self, node: ast.stmt) -> str | None:
        """Return the whitespace before a statement; None if it shares its lines with other code."""
        before = self.data[self.line_starts[node.lineno - 1] : self.start(node)].decode()
        after = self.data[self.end(node) :].lstrip(b" \t\f")
        return None if before.strip() or after.startswith(b";") else before.replace("\f", "")

    def comment_tokens(self, start: int, end: int) -> Iterator[tokenize.TokenInfo]:
        """Yield the comments between two offsets. Lines are counted from the first one."""
        lines = io.StringIO(self.data[start:end].decode(), newline="").readline
        # A cell of a notebook may have syntax that `tokenize` does not know, and the parser does.
        with contextlib.suppress(tokenize.TokenError, SyntaxError):
            for token in tokenize.generate_tokens(lines):
                if token.type == tokenize.COMMENT:
                    yield token
