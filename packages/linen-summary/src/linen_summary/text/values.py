"""Values and numbers as text: nested values as indented lines in YAML's block style, or in one line."""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from linen_core.meta import Partitioned

__all__ = [
    "Layout",
    "array_text",
    "bytes_text",
    "hanging_lines",
    "is_explicit_key",
    "is_value",
    "key_text",
    "one_line",
    "plain",
    "plain_text",
    "sentence",
    "short_number",
    "text_lines",
]


def is_value(leaf: Any) -> bool:
    """Return whether a node of a pytree is shown as one value: None, or an array in a box."""
    return leaf is None or isinstance(leaf, Partitioned)


def array_text(spec: jax.ShapeDtypeStruct) -> tuple[str, str]:
    """Return an array's dtype and shape, for example ``("float32", "[16,9]")``."""
    return str(spec.dtype), f"[{','.join(map(str, spec.shape))}]"


def bytes_text(number: int) -> str:
    """Format a number of bytes with a unit of powers of 1000.

    Example:
      >>> bytes_text(999), bytes_text(123_456)
      ('999 B', '123.5 KB')
    """
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if number > size:
            return f"{number / size:,.1f} {unit}"
    return f"{number:,} B"


def short_number(number: int) -> str:
    """Format a count with three digits and a unit of powers of 1000.

    Example:
      >>> short_number(999), short_number(123_456)
      ('999', '123 k')
    """
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            digits = ".3g" if number < 999.5 * size else ".0f"
            return f"{number / size:{digits}} {unit}"
    return str(number)


def sentence(text: str) -> str:
    """Capitalize the first letter of a text, and keep its other letters.

    Example:
      >>> sentence("activation memory of LSTM")
      'Activation memory of LSTM'
    """
    return text[:1].upper() + text[1:]


class Layout:
    """Writes nested values without quotation marks, each value on a line under its keys and dashes.

    Mappings and dataclass pytrees become keys. Lists and tuples become dashes.

    Example:
      >>> print(Layout().write({"a": [1, (2, {"b": "text"})], "c": {}}))
      a:
      - 1
      - - 2
        - b: text
      c: {}
    """

    def write(self, value: Any) -> str:
        """Return a value as lines. An empty container and None become an empty string."""
        tree = plain(value)
        is_block = isinstance(tree, dict | tuple)
        if tree is None or (is_block and not tree):
            return ""
        lines = (
            self.lines(tree, 0, 0) if is_block else hanging_lines("", self.text_lines(tree, 0, 2))
        )
        return "\n".join(lines).strip()

    def lines(self, value: Any, margin: int, column: int) -> Sequence[str]:
        """Return the lines of a nested value.

        Args:
          value: a result of `plain`.
          margin: the column where lines begin, except the first line of a text. The result lacks these spaces.
          column: the column where the first line of a text begins.
        """
        if isinstance(value, dict):
            items = (self.item_lines(key, item, margin) for key, item in value.items())
            return [line for lines in items for line in lines] or ["{}"]
        if isinstance(value, tuple):
            items = (
                hanging_lines("- ", self.lines(item, margin + 2, margin + 2)) for item in value
            )
            return [line for lines in items for line in lines] or ["[]"]
        return self.text_lines(value, column, margin)

    def item_lines(self, key: Any, item: Any, margin: int) -> Sequence[str]:
        """Return the lines of a key and its value."""
        name, width = self.key_text(key)
        if isinstance(item, dict) and item:
            return [f"{name}:", *(f"  {line}" for line in self.lines(item, margin + 2, margin + 2))]
        if isinstance(item, tuple) and item:
            return [f"{name}:", *self.lines(item, margin, margin)]
        return hanging_lines(f"{name}: ", self.lines(item, margin + 2, margin + width + 2))

    def text_lines(self, value: Any, column: int, margin: int) -> Sequence[str]:
        """Return the lines of a leaf. The arguments are those of `lines`."""
        return plain_text(value).replace("'", "").split("\n")

    def key_text(self, key: Any) -> tuple[str, int]:
        """Return a key and its width in columns."""
        text = _key(key)
        return text, len(text)


def hanging_lines(start: str, lines: Sequence[str]) -> list[str]:
    """Prefix the first line with a text, and the other lines with two spaces."""
    first, *rest = lines
    return [f"{start}{first}", *(f"  {line}" for line in rest)]


def plain(value: Any) -> Any:
    """Convert mappings and dataclass pytrees to dicts, lists to tuples, and enum members in them to values."""
    if isinstance(value, jax.ShapeDtypeStruct) or is_value(value):
        return value
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {_plain_item(key): plain(item) for key, item in value.items()}
    is_object = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if is_object and not jax.tree_util.all_leaves([value]):
        return {f.name: _plain_item(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def _plain_item(value: Any) -> Any:
    """Convert a key or a field like `plain`, and an enum member to its value."""
    return value.value if isinstance(value, enum.Enum) else plain(value)


def _key(key: Any) -> str:
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key).replace("'", "")


def plain_text(value: Any) -> str:
    """Write a leaf: a specification as ``float32[16,9]``, anything else as its `repr`.

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
    """Write a pytree in one line.

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
"""Lines break at the first space after this column."""
_LONGEST_KEY = 122
"""The longest string, in letters, that is written before a colon."""

_ENDS_LINE = re.compile("[\n\x85\u2028\u2029]")
_NEEDS_ESCAPES = re.compile(r"[^\n -~]| \n|\n ")
_NOT_PLAIN = re.compile(
    r"""
    [#,\[\]{}&*!|>'"%@`] | [?:-](?:[ \n]|$)     # the start of another kind of node
    | --- | \.\.\. | [ ]                        # ends of a document; a space that would be lost
    | .* (?: :(?:[ ]|$) | [ ]\# | [ ]$ )        # the end of a text
    """,
    re.VERBOSE,
)
_ESCAPES = {
    **dict(zip("\0\a\b\t\n\v\f\r\x1b", "0abtnvfre", strict=True)),
    **dict(zip('"\\\x85\xa0\u2028\u2029', '"\\N_LP', strict=True)),
}


def text_lines(text: str, column: int, indent: int, width: float = _WIDTH) -> list[str]:
    r"""Write a string as YAML does, with quotation marks where it needs them.

    Args:
      text: the string.
      column: the column where it begins on its line.
      indent: the column where later lines begin. The result lacks these spaces.
      width: the column after which a line breaks.

    Example:
      >>> text_lines("a: b", 0, 2), text_lines("one\ntwo", 0, 2), text_lines("one\n two", 0, 2)
      (["'a: b'"], ["'one", '', "two'"], ['"one\\n two"'])
    """
    if _NEEDS_ESCAPES.search(text):
        return _double_quoted(text, column, indent, width)
    is_plain = "\n" not in text and not _NOT_PLAIN.match(text)
    return _broken(text, column, indent, width, "" if is_plain else "'")


def _broken(text: str, column: int, indent: int, width: float, quote: str) -> list[str]:
    """Break a text at single spaces. A YAML reader joins the lines with these spaces again."""
    lines = []
    line = quote
    for found in re.finditer(r" +|\n+|[^ \n]+", text):
        piece = found[0]
        is_within = found.start() > 0 and found.end() < len(text)
        if piece[0] == "\n":  # an end of line is written twice, because YAML reads one as a space
            lines += [line, *[""] * len(piece)]
            line, column = "", indent
        elif piece == " " and column + len(line) > width and is_within:
            lines.append(line)
            line, column = "", indent
        else:
            line += piece.replace("'", "''") if quote else piece
    return [*lines, line + quote]


def _double_quoted(text: str, column: int, indent: int, width: float) -> list[str]:
    """Write a text in double quotes, escaping everything but printable ASCII. A backslash continues a line."""
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
    if code < 0x100:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def is_explicit_key(key: Any) -> bool:
    """Return whether a key is written after a question mark, with its value on the next line.

    Example:
      >>> is_explicit_key("kernel"), is_explicit_key(""), is_explicit_key(("a", "b"))
      (False, True, True)
    """
    if isinstance(key, str):
        return not key or len(key) > _LONGEST_KEY or _ENDS_LINE.search(key) is not None
    return isinstance(key, tuple | dict)


def key_text(key: Any) -> str:
    """Write a key, or a value in a key, that is not a container.

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
