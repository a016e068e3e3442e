"""What the command `linen-summary` is pointed at: a module that is imported and made, and its inputs."""

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
    "USERS_ERRORS",
    "current_folder_first",
    "imported_module",
    "is_module_name",
    "parsed_inputs",
    "parsed_values",
]

_NAME = re.compile(r"[\w.]+:[\w.]+")
_SIZES = r"\s*(?:[0-9]+\s*(?:,\s*[0-9]+\s*)*,?\s*)?"
_INPUT = re.compile(rf"(?:(?P<name>[^\W\d]\w*)=)?(?P<dtype>\w+)\[(?P<shape>{_SIZES})\]")


USERS_ERRORS = (Exception, SystemExit)
"""What the user's code may raise: a script that is imported may end the program."""


@contextlib.contextmanager
def current_folder_first() -> Iterator[None]:
    """Let imports look at the current folder first, those that a model makes while it runs among them."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def is_module_name(target: str) -> bool:
    """Return whether a target is written as ``package.module:Name``; a file of that name comes first."""
    return _NAME.fullmatch(target) is not None and not os.path.exists(target)


def imported_module(target: str, fields: dict[str, Any]) -> Module:
    """Import what a target names, and make a module of it.

    Args:
      target: ``package.module:Name``, where the name is that of a subclass of Module, of a module, or of a function
        that makes one.
      fields: the fields of the class, or arguments of the function; they replace fields of a module.

    Raises:
      TargetError: it cannot be imported or made; the error is its cause.
      TargetTypeError: it is no module and makes none.
    """
    place, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except USERS_ERRORS as error:
        hint = "Name it as package.module:Name, from a folder where Python finds it."
        raise TargetError(target, "import", hint) from error
    try:
        made = found.clone(**fields) if isinstance(found, Module) else found(**fields)
    except USERS_ERRORS as error:
        raise TargetError(
            target, "make", "Give its fields with --arg, like features=64."
        ) from error
    if not isinstance(made, Module):
        raise TargetTypeError(target, type(made).__name__)
    return made


def parsed_values(option: str, texts: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value``; a value that is no literal of Python is a string.

    Raises:
      ValueTextError: one of the texts is not written so.

    Example:
      >>> parsed_values("--arg", ["features=64", "kernel=(3, 3)", "mode=fast"])
      {'features': 64, 'kernel': (3, 3), 'mode': 'fast'}
    """
    made = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueTextError(option, text)
        made[name] = _literal(value)
    return made


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def parsed_inputs(texts: Iterable[str]) -> tuple[list[Any], dict[str, Any]]:
    """Read specifications of arrays, positional and by keyword.

    Raises:
      InputTextError: one of the texts is no dtype with a shape.

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
