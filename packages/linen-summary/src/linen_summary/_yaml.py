"""Texts as a YAML writer of 80 columns has them: in quotes where they need some, and broken into lines.

Only what the tables of `tabulate` need: strings and keys in block style. The rules are those of YAML 1.1 (chapter 9,
on the styles of scalars) as PyYAML keeps them, with which flax writes the cells of its tables.
"""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["explicit_key", "key_text", "text_lines"]

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
    """Tell whether a key stands behind a question mark, with its value on a line of its own.

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
