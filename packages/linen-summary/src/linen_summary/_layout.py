"""Nested values as indented lines, in the manner of YAML's block style."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

import jax

from linen_core.meta import Partitioned
from linen_summary._values import array_text, is_value

__all__ = ["lay_out", "one_line", "plain", "plain_text"]


def lay_out(value: Any, text: Callable[[Any], str]) -> str:
    """Render a pytree: one line for each value, under the keys and dashes that lead to it.

    Args:
      value: the tree; mappings and dataclasses become keys, lists and tuples dashes.
      text: renders what is none of these.

    Returns:
      The lines, without quotation marks; nothing for an empty container and for None.

    Example:
      >>> print(lay_out({"a": [1, (2, {"b": 3})], "c": {}}, str))
      a:
      - 1
      - - 2
        - b: 3
      c: {}
    """
    if value is None:
        return ""
    tree = plain(value)
    if isinstance(tree, dict | tuple) and not tree:
        return ""
    return "\n".join(_lines(tree, text)).strip()


def plain(value: Any) -> Any:
    """Turn mappings and dataclasses into dicts, lists into tuples, members of enums into their values."""
    if isinstance(value, jax.ShapeDtypeStruct) or is_value(value):
        return value
    if isinstance(value, tuple | list):
        return tuple(plain(item) for item in value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and not _is_leaf(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value.value if isinstance(value, enum.Enum) else value


def _is_leaf(value: Any) -> bool:
    return jax.tree_util.all_leaves([value])


def _lines(value: Any, text: Callable[[Any], str]) -> list[str]:
    if isinstance(value, dict):
        return _mapping_lines(value, text) if value else ["{}"]
    if isinstance(value, tuple):
        return _sequence_lines(value, text) if value else ["[]"]
    return text(value).replace("'", "").split("\n")


def _mapping_lines(value: dict[Any, Any], text: Callable[[Any], str]) -> list[str]:
    lines = []
    for key, item in value.items():
        first, *rest = _lines(item, text)
        if isinstance(item, dict) and item:
            lines += [f"{_key(key)}:", *(f"  {line}" for line in (first, *rest))]
        elif isinstance(item, tuple) and item:
            lines += [f"{_key(key)}:", first, *rest]
        else:
            lines += [f"{_key(key)}: {first}", *(f"  {line}" for line in rest)]
    return lines


def _sequence_lines(value: tuple[Any, ...], text: Callable[[Any], str]) -> list[str]:
    lines = []
    for item in value:
        first, *rest = _lines(item, text)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _key(key: Any) -> str:
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key).replace("'", "")


def plain_text(value: Any) -> str:
    """Render what `lay_out` has no lines for: a specification as ``float32[16,9]``, anything else as Python does.

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
