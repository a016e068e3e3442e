"""Reads the arguments of commands: the module to import, its fields and its inputs."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from linen_core.module import Module

__all__ = [
    "USER_ERRORS",
    "construct",
    "current_folder_first",
    "import_target",
    "parse_input",
    "parse_value",
]

_SIZES = r"\s*(?:[0-9]+\s*(?:,\s*[0-9]+\s*)*,?\s*)?"
_INPUT_TEXT = re.compile(rf"(?:(?P<name>[^\W\d]\w*)=)?(?P<dtype>\w+)\[(?P<shape>{_SIZES})\]")

USER_ERRORS = (Exception, SystemExit)
"""Errors that a user's code may raise. An imported script may call `sys.exit`."""


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Put the current folder first in the import path, also for imports of a running model.

    Example:
      >>> with current_folder_first():
      ...     sys.path[0] == os.getcwd()
      True
    """
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def import_target(target: str) -> Any:
    """Import what a target names, ``package.module:Name``.

    Raises:
      Exception: what the import raises, and `AttributeError` if the name does not exist.

    Example:
      >>> import_target("linen_core:Dense").__name__
      'Dense'
    """
    module_name, _, name = target.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def construct(found: Any, fields: Mapping[str, Any]) -> Any:
    """Construct a module.

    Args:
      found: a class of modules, a function that returns one, or a module, which is copied.
      fields: fields of the class or of the copy, or arguments of the function.

    Returns:
      The module, or what the function returns instead of one.

    Example:
      >>> construct(import_target("linen_core:Dense"), {"features": 3}).features
      3
    """
    return found.clone(**fields) if isinstance(found, Module) else found(**fields)


def parse_value(text: str) -> tuple[str, Any]:
    """Parse ``name=value``. A value that is not a Python literal is a string.

    Raises:
      ValueError: the text has another form.

    Example:
      >>> parse_value("kernel=(3, 3)"), parse_value("mode=fast")
      (('kernel', (3, 3)), ('mode', 'fast'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        msg = f"expected a name and a value, for example features=64, found {text!r}"
        raise ValueError(msg)
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def parse_input(text: str) -> tuple[str | None, jax.ShapeDtypeStruct]:
    """Parse the specification of an array, and its name if it is a keyword argument.

    Raises:
      ValueError: the text is not the dtype of numbers or bools with a shape.

    Example:
      >>> parse_input("mask=bool[2, 3]")
      ('mask', ShapeDtypeStruct(shape=(2, 3), dtype=bool))
    """
    msg = f"expected a dtype and a shape, for example float32[1,28,28,1] or mask=bool[1], found {text!r}"
    match = _INPUT_TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError(msg)
    try:
        dtype = jnp.dtype(match["dtype"])
    except TypeError as error:
        raise ValueError(msg) from error
    if not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
        raise ValueError(msg)
    shape = tuple(map(int, re.findall("[0-9]+", match["shape"])))
    return match["name"], jax.ShapeDtypeStruct(shape, dtype)
