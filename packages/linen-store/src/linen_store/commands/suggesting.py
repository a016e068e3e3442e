"""The command that proposes a map: it imports a model, and compares its variables with a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import linen_core as nn
from linen_core import VariableStore
from linen_store._texts import counted
from linen_store.commands.render import Outcome
from linen_store.errors import ModelTargetError
from linen_store.restoring.call import Call
from linen_store.views.suggesting import suggest

__all__ = ["suggest_map"]

_USER_ERRORS = (Exception, SystemExit)
"""Errors that a user's code may raise. An imported script may call `sys.exit`."""


def suggest_map(store: VariableStore, options: argparse.Namespace) -> Outcome:
    """Propose a map from the arrays of a store to the variables of a model.

    Raises:
      ModelTargetError: the model cannot be imported, constructed or initialised.
    """
    with _current_folder_first():
        model = _imported(options.model, dict(options.arg))
        wanted = _variables(options, model)
    found = suggest(store, nn.unbox(wanted))
    counts = (
        f"{counted(len(found.map.rules), 'rule')}, {len(found.ambiguous)} ambiguous, "
        f"{len(found.squares)} may be transposed or not, {len(found.missing)} missing"
    )
    return Outcome(
        data={
            "map": found.to_toml(),
            "ambiguous": {name: list(others) for name, others in found.ambiguous.items()},
            "squares": list(found.squares),
            "missing": list(found.missing),
            "unused": list(found.map.drop),
        },
        summary=f"# {counts}\n{found.to_toml()}",
    )


@contextlib.contextmanager
def _current_folder_first() -> Iterator[None]:
    """Put the current folder first in the import path, also for imports of a running model."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _imported(target: str, fields: Mapping[str, Any]) -> nn.Module:
    """Import the model, or what makes it, and construct it."""
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except _USER_ERRORS as error:
        raise ModelTargetError(target, "import", _shown_error(error)) from error
    try:
        model = found.clone(**fields) if isinstance(found, nn.Module) else found(**fields)
    except _USER_ERRORS as error:
        raise ModelTargetError(target, "construct", _shown_error(error)) from error
    if not isinstance(model, nn.Module):
        raise ModelTargetError(target, "use", f"a {type(model).__name__}")
    return model


def _variables(options: argparse.Namespace, model: nn.Module) -> Any:
    """Describe the variables of a model."""
    args = [spec for name, spec in options.input if name is None]
    named = {name: spec for name, spec in options.input if name is not None}
    try:
        return Call(model, args, {**named, **dict(options.call)}).expected(None)
    except _USER_ERRORS as error:
        raise ModelTargetError(options.model, "initialize", _shown_error(error)) from error


def _shown_error(error: BaseException) -> str:
    """Return the class and the first line of an error."""
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
