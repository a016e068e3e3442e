"""Reads the arguments of the command: the module to import, its fields, and its inputs."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from linen_core.module import Module
from linen_summary.errors import InputTextError, TargetError, TargetTypeError, ValueTextError

__all__ = [
    "USER_ERRORS",
    "current_folder_first",
    "import_module",
    "is_module_name",
    "parsed_inputs",
    "parsed_values",
]

_NAME = re.compile(r"[\w.]+:[\w.]+")
_SIZES = r"\s*(?:[0-9]+\s*(?:,\s*[0-9]+\s*)*,?\s*)?"
_INPUT = re.compile(rf"(?:(?P<name>[^\W\d]\w*)=)?(?P<dtype>\w+)\[(?P<shape>{_SIZES})\]")

USER_ERRORS = (Exception, SystemExit)
"""Errors that a user's code may raise. An imported script may call `sys.exit`."""


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Put the current folder first in the import path, also for imports of a running model."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def is_module_name(target: str) -> bool:
    """Return whether a target has the form ``package.module:Name`` and is not an existing file."""
    return _NAME.fullmatch(target) is not None and not os.path.exists(target)


def import_module(target: str, fields: dict[str, Any]) -> Module:
    """Import a target and construct the module.

    Args:
      target: ``package.module:Name``, the name of a subclass of Module, of a module, or of a function that returns one.
      fields: fields of the class, or arguments of the function. They replace fields of a module.

    Raises:
      TargetError: the import or the construction failed. The error is its cause.
      TargetTypeError: the target is neither a Module nor a factory for one.
    """
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except USER_ERRORS as error:
        hint = "Name it as package.module:Name, from a folder where Python finds it."
        raise TargetError(target, "import", hint) from error
    try:
        module = found.clone(**fields) if isinstance(found, Module) else found(**fields)
    except USER_ERRORS as error:
        raise TargetError(
            target, "construct", "Give its fields with --arg, like features=64."
        ) from error
    if not isinstance(module, Module):
        raise TargetTypeError(target, type(module).__name__)
    return module


def parsed_values(option: str, texts: Iterable[str]) -> dict[str, Any]:
    """Parse ``name=value``. A value that is not a Python literal is a string.

    Raises:
      ValueTextError: a text has another form.

    Example:
      >>> parsed_values("--arg", ["features=64", "kernel=(3, 3)", "mode=fast"])
      {'features': 64, 'kernel': (3, 3), 'mode': 'fast'}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueTextError(option, text)
        values[name] = _literal(value)
    return values


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parsed_inputs(texts: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Parse specifications of arrays, positional and by keyword.

    Raises:
      InputTextError: a text is not a dtype with a shape.

    Example:
      >>> parsed_inputs(["float32[2,3]", "mask=bool[2]"])
      ([ShapeDtypeStruct(shape=(2, 3), dtype=float32)], {'mask': ShapeDtypeStruct(shape=(2,), dtype=bool)})
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        name, spec = _input(text)
        if name is None:
            args.append(spec)
        else:
            kwargs[name] = spec
    return args, kwargs


def _input(text: str) -> tuple[str | None, jax.ShapeDtypeStruct]:
    match = _INPUT.fullmatch(text.strip())
    if match is None:
        raise InputTextError(text)
    try:
        dtype = jnp.dtype(match["dtype"])
    except TypeError as error:
        raise InputTextError(text) from error
    if not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)):
        raise InputTextError(text)
    shape = tuple(map(int, re.findall("[0-9]+", match["shape"])))
    return match["name"], jax.ShapeDtypeStruct(shape, dtype)
