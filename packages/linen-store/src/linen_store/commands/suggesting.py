"""The command that proposes a map: it imports a model, and compares its variables with a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import linen_core as nn
from linen_core.targets import USER_ERRORS, construct, current_folder_first, import_target
from linen_store._texts import counted
from linen_store.commands.parser import open_chosen
from linen_store.commands.render import Outcome
from linen_store.errors import ModelTargetError
from linen_store.restoring.call import Call
from linen_store.views.suggesting import suggest

__all__ = ["suggest_map"]


def suggest_map(options: argparse.Namespace) -> Outcome:
    """Propose a map from the arrays of a checkpoint to the variables of a model.

    Raises:
      ModelTargetError: the model cannot be imported, constructed or initialised.
    """
    options.layout = "model"  # the map is what brings arrays of PyTorch into the model's layout
    with open_chosen(options, options.path) as store:
        with current_folder_first():
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


def _imported(target: str, fields: Mapping[str, Any]) -> nn.Module:
    """Import the model, or what makes it, and construct it."""
    with _errors_of(target, "import"):
        found = import_target(target)
    with _errors_of(target, "construct"):
        model = construct(found, fields)
    if not isinstance(model, nn.Module):
        raise ModelTargetError(target, "use", f"a {type(model).__name__}")
    return model


def _variables(options: argparse.Namespace, model: nn.Module) -> Any:
    args = [spec for name, spec in options.input if name is None]
    named = {name: spec for name, spec in options.input if name is not None}
    with _errors_of(options.model, "initialize"):
        return Call(model, args, {**named, **dict(options.call)}).expected(None)


@contextlib.contextmanager
def _errors_of(target: str, step: Literal["import", "construct", "initialize"]) -> Iterator[None]:
    """Report an error of the user's code by its class and first line."""
    try:
        yield
    except USER_ERRORS as error:
        first = str(error).partition("\n")[0]
        problem = f"{type(error).__name__}: {first}" if first else type(error).__name__
        raise ModelTargetError(target, step, problem) from error
