"""Nested values as indented lines, in the manner of YAML's block style."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from linen_core.meta import Partitioned
from linen_summary._values import array_text, is_value

__all__ = ["Layout", "hanging", "one_line", "plain", "plain_text"]


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
