"""Reads the arguments of the command, with its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from linen_core.module import Module
from linen_core.targets import USER_ERRORS, construct, import_target, parse_input, parse_value
from linen_summary.errors import InputTextError, TargetError, TargetTypeError, ValueTextError

__all__ = ["import_module", "is_module_name", "parsed_inputs", "parsed_values"]

_NAME = re.compile(r"[\w.]+:[\w.]+")


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
    try:
        found = import_target(target)
    except USER_ERRORS as error:
        hint = "Name it as package.module:Name, from a folder where Python finds it."
        raise TargetError(target, "import", hint) from error
    try:
        module = construct(found, fields)
    except USER_ERRORS as error:
        raise TargetError(
            target, "construct", "Give its fields with --arg, like features=64."
        ) from error
    if not isinstance(module, Module):
        raise TargetTypeError(target, type(module).__name__)
    return module


def parsed_values(option: str, texts: Iterable[str]) -> dict[str, Any]:
    """Parse the ``name=value`` of an option, each with `linen_core.targets.parse_value`.

    Raises:
      ValueTextError: a text has another form.
    """
    values = {}
    for text in texts:
        try:
            name, values[name] = parse_value(text)
        except ValueError as error:
            raise ValueTextError(option, text) from error
    return values


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
        try:
            name, spec = parse_input(text)
        except ValueError as error:
            raise InputTextError(text) from error
        if name is None:
            args.append(spec)
        else:
            kwargs[name] = spec
    return args, kwargs
