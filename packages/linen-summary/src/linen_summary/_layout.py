"""Nested values as indented lines, in the manner of YAML's block style."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from linen_core.meta import Partitioned
from linen_summary._values import array_text, is_value

__all__ = [
    "Layout",
    "explicit_key",
    "hanging",
    "key_text",
    "one_line",
    "plain",
    "plain_text",
    "text_lines",
]


class Layout:
    """Writes nested values: a line for each, under the keys and dashes that lead to it, without quotation marks.

    Mappings and dataclasses become keys, lists and tuples dashes.

    Example:
      >>> print(Layout().write({"a": [1, (2, {"b": "text"})], "c": {}}))
      a:
      - 1
      - - 2
        - b: text
      c: {}
    """

    def write(self, value: Any) -> str:
        """Return the lines of a value; nothing for an empty container and for None."""
        tree = plain(value)
        is_block = isinstance(tree, dict | tuple)
        if tree is None or (is_block and not tree):
            return ""
        lines = self.lines(tree, 0, 0) if is_block else hanging("", self.text_lines(tree, 0, 2))
        return "\n".join(lines).strip()

    def lines(self, value: Any, margin: int, column: int) -> Sequence[str]:
        """Return the lines of a value in others.

        Args:
          value: what `plain` gives.
          margin: where its lines begin, and those of a text after its first; they come without these spaces.
          column: where a text begins on its first line.
        """
        if isinstance(value, dict):
            items = (self.item_lines(key, item, margin) for key, item in value.items())
            return [line for lines in items for line in lines] or ["{}"]
        if isinstance(value, tuple):
            items = (hanging("- ", self.lines(item, margin + 2, margin + 2)) for item in value)
            return [line for lines in items for line in lines] or ["[]"]
        return self.text_lines(value, column, margin)

    def item_lines(self, key: Any, item: Any, margin: int) -> Sequence[str]:
        """Return the lines of a key and its value."""
        name, width = self.key_text(key)
        if isinstance(item, dict) and item:
            return [f"{name}:", *(f"  {line}" for line in self.lines(item, margin + 2, margin + 2))]
        if isinstance(item, tuple) and item:
            return [f"{name}:", *self.lines(item, margin, margin)]
        return hanging(f"{name}: ", self.lines(item, margin + 2, margin + width + 2))

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        """Return the lines of a value that holds no others; arguments are those of `lines`."""
        return plain_text(value).replace("'", "").split("\n")

    def key_text(self, key: Any) -> tuple[str, int]:
        """Return a key, and how many columns it takes."""
        text = _key(key)
        return text, len(text)


def hanging(start: str, lines: Sequence[str]) -> list[str]:
    """Put a text before the first of some lines, and two spaces before the others."""
    first, *rest = lines
    return [f"{start}{first}", *(f"  {line}" for line in rest)]


def plain(value: Any) -> Any:
    """Turn mappings and dataclasses into dicts, lists into tuples; of members of enums in them only values stay."""
    if isinstance(value, jax.ShapeDtypeStruct) or is_value(value):
        return value
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {_fixed(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_leaf(value):
        return {f.name: _fixed(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _fixed(value: Any) -> Any:
    """Turn a key or a field likewise, and a member of an enum into its value."""
    return value.value if isinstance(value, enum.Enum) else plain(value)


def _is_leaf(value: Any) -> bool:
    return jax.tree_util.all_leaves([value])


def _key(key: Any) -> str:
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key).replace("'", "")


def plain_text(value: Any) -> str:
    """Render what holds no others: a specification as ``float32[16,9]``, anything else as Python does.

    Example:
      >>> import jax.numpy as jnp
      >>> plain_text(jax.ShapeDtypeStruct((16, 9), jnp.bfloat16)), plain_text(2)
      ('bfloat16[16,9]', '2')
    """
    if isinstance(value, jax.ShapeDtypeStruct):
        return "".join(array_text(value))
    if isinstance(value, Partitioned):
        return f"{one_line(value.value)} P{value.names}"
    return repr(value)


def one_line(value: Any) -> str:
    """Render a pytree in one line.

    Example:
      >>> one_line({"a": [1, (2, None)]})
      '{a: [1, [2, None]]}'
    """
    tree = plain(value)
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{_key(key)}: {one_line(item)}" for key, item in tree.items()) + "}"
    if isinstance(tree, tuple):
        return "[" + ", ".join(map(one_line, tree)) + "]"
    return plain_text(tree)


_WIDTH = 80
"""A line is broken at the first space after so many columns."""
_LONGEST_KEY = 122
"""Letters of the longest string that stands before a colon."""

_ENDS_LINE = re.compile("[\n\x85\u2028\u2029]")
_NEEDS_ESCAPES = re.compile(r"[^\n -~]| \n|\n ")
_NOT_PLAIN = re.compile(
    r"""
    [#,\[\]{}&*!|>'"%@`] | [?:-](?:[ \n]|$)     # what begins another kind of node
    | --- | \.\.\. | [ ]                        # a document's ends; a space that would be lost
    | .* (?: :(?:[ ]|$) | [ ]\# | [ ]$ )        # what ends a text
    """,
    re.VERBOSE,
)
_ESCAPES = {
    **dict(zip("\0\a\b\t\n\v\f\r\x1b", "0abtnvfre", strict=True)),
    **dict(zip('"\\\x85\xa0\u2028\u2029', '"\\N_LP', strict=True)),
}


def text_lines(text: str, column: int, indent: int, width: float = _WIDTH) -> list[str]:
    r"""Write a string, with the quotation marks that it needs.

    Args:
      text: the string.
      column: where on its line it begins.
      indent: where the lines after the first begin; they come without these spaces.
      width: the column after which a line is broken.

    Example:
      >>> text_lines("a: b", 0, 2), text_lines("one\ntwo", 0, 2), text_lines("one\n two", 0, 2)
      (["'a: b'"], ["'one", '', "two'"], ['"one\\n two"'])
    """
    if _NEEDS_ESCAPES.search(text):
        return _escaped(text, column, indent, width)
    is_plain = "\n" not in text and not _NOT_PLAIN.match(text)
    return _broken(text, column, indent, width, "" if is_plain else "'")


def _broken(text: str, column: int, indent: int, width: float, quote: str) -> list[str]:
    """Break a text at single spaces, none of which is lost: reading joins the lines with them."""
    lines = []
    line = quote
    for found in re.finditer(r" +|\n+|[^ \n]+", text):
        piece = found[0]
        is_within = found.start() > 0 and found.end() < len(text)
        if piece[0] == "\n":  # a line's end is written twice, for one would be read as a space
            lines += [line, *[""] * len(piece)]
            line, column = "", indent
        elif piece == " " and column + len(line) > width and is_within:
            lines.append(line)
            line, column = "", indent
        else:
            line += piece.replace("'", "''") if quote else piece
    return [*lines, line + quote]


def _escaped(text: str, column: int, indent: int, width: float) -> list[str]:
    """Write a text in double quotes, with escapes for all but printable ASCII; a backslash ends a line that goes on."""
    lines = []
    line = '"'
    was_escape = False
    for place, letter in enumerate(text):
        escape = _escape(letter)
        line += escape
        is_within = 0 < place < len(text) - 1
        length = column + len(line) - bool(escape)
        if is_within and (escape or was_escape or letter == " ") and length > width:
            lines.append(f"{line}\\")
            follows = text[place + 1] if escape else letter
            line, column = "\\" if follows == " " else "", indent
        line += "" if escape else letter
        was_escape = bool(escape)
    return [*lines, f'{line}"']


def _escape(letter: str) -> str:
    if letter in _ESCAPES:
        return f"\\{_ESCAPES[letter]}"
    if " " <= letter <= "~":
        return ""
    code = ord(letter)
    return (
        f"\\x{code:02X}"
        if code < 0x100
        else f"\\u{code:04X}"
        if code < 0x10000
        else f"\\U{code:08X}"
    )


def explicit_key(key: Any) -> bool:
    """Return whether a key stands behind a question mark, with its value on a line of its own.

    Example:
      >>> explicit_key("kernel"), explicit_key(""), explicit_key(("a", "b"))
      (False, True, True)
    """
    if isinstance(key, str):
        return not key or len(key) > _LONGEST_KEY or _ENDS_LINE.search(key) is not None
    return isinstance(key, tuple | dict)


def key_text(key: Any) -> str:
    """Write a key, or a value in one, that is no container.

    Example:
      >>> key_text("a: b"), key_text(None), key_text(True), key_text(1.5)
      ("'a: b'", 'null', 'true', '1.5')
    """
    if isinstance(key, str):
        return "".join(text_lines(key, 0, 0, width=math.inf))
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if not isinstance(key, float):
        return str(key)
    if math.isfinite(key):
        text = repr(float(key))
        return text if "." in text else text.replace("e", ".0e")
    return ".nan" if math.isnan(key) else ".inf" if key > 0 else "-.inf"
