"""Folders of single files: of one model, of several items, or of the steps that flax numbered."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from linen_core import VariableStore
from linen_core.store.registry import format_suffixes, registered_formats
from linen_store.errors import (
    AmbiguousCheckpointError,
    NotACheckpointError,
    UnfinishedCheckpointError,
)
from linen_store.filesystem.failures import listed
from linen_store.filesystem.paths import local_path
from linen_store.formats.foreign import FOREIGN_SUFFIXES
from linen_store.formats.opening import open_store
from linen_store.formats.orbax.layout import STEP, holds_orbax, holds_steps, step_number
from linen_store.reading.options import Root

__all__ = [
    "FLAX_STEP",
    "FolderFormat",
    "file_folder",
    "files_to_open",
    "is_file_name",
    "item_files",
]

FLAX_STEP = re.compile(r"checkpoint_(\d+(?:\.\d+)?)")
"""The name of the file, or folder, of a step of flax."""

_ANY_INDEX = ".index.json"


class FolderFormat:
    """Opens the file of a folder that ``item`` or ``step`` names, or its only one.

    Files of all registered formats count, by their suffixes. If there are indices of parts, only they count.

    Example:
      >>> import tempfile, numpy as np
      >>> folder = tempfile.mkdtemp()
      >>> np.savez(os.path.join(folder, "model.npz"), **{"params/bias": np.zeros(3)})
      >>> file_folder.recognizes(folder)
      True
      >>> file_folder(folder)
      NpzStore('...model.npz', collections=['params'], 1 leaf, 0 read)
    """

    suffixes: ClassVar = ()

    def recognizes(self, path: str) -> bool:
        """Return whether a folder has such files, and is not a folder of Orbax."""
        where = local_path(path)
        if not os.path.isdir(where):
            return False
        names = listed(where)
        if holds_orbax(where, names):
            return False
        if any(map(FLAX_STEP.fullmatch, names)):
            return True
        return bool(_candidates(names)) and not holds_steps(where, names)

    def __call__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        *,
        item: str | None = None,
        step: float | None = None,
        **options: Any,
    ) -> VariableStore:
        """Open the file.

        Raises:
          AmbiguousCheckpointError: ``item`` or ``step`` is needed, or does not exist.
          StoreError: the file cannot be opened.
        """
        where = local_path(path)
        names = files_to_open(where, item, step)
        if _steps_by_number(listed(where)):
            options["item"] = item
        failures: list[Exception] = []
        for name in names:
            try:
                return open_store(os.path.join(where, name), root, **options)
            except (UnfinishedCheckpointError, NotACheckpointError) as error:
                failures.append(error)
        raise failures[0]


def _steps_by_number(names: Sequence[str]) -> dict[float, str]:
    """Return the names of steps by number: those of flax, else files that differ in a number only."""
    steps = {step_number(match[1]): name for name in names if (match := FLAX_STEP.fullmatch(name))}
    if steps:
        return steps
    files = item_files(names)
    matches = [STEP.fullmatch(os.path.splitext(name)[0]) for name in files]
    prefixes = {match[1] if match else None for match in matches}
    if len(prefixes) != 1 or not all(matches):
        return {}
    return {
        step_number(match[2]): name for name, match in zip(files, matches, strict=True) if match
    }


def files_to_open(where: str, item: str | None, step: float | None) -> list[str]:
    """Return the names of the file that ``item`` or ``step`` names, the only one, or all steps, the newest first.

    Raises:
      AmbiguousCheckpointError: ``item`` or ``step`` is needed, or does not exist.
    """
    names = listed(where)
    steps = _steps_by_number(names)
    if steps:
        if step is not None and step not in steps:
            choices = [f"{one:g}" for one in sorted(steps)]
            raise AmbiguousCheckpointError(where, "step", choices, step)
        return [steps[number] for number in sorted(steps, reverse=True) if step in (None, number)]
    candidates = _candidates(names)
    if step is not None:
        raise AmbiguousCheckpointError(where, "step", (), step)
    if item is not None and item not in names:
        raise AmbiguousCheckpointError(where, "item", candidates, item)
    if item is None and len(candidates) != 1:
        raise AmbiguousCheckpointError(where, "item", candidates)
    return [item or candidates[0]]


def is_file_name(name: str) -> bool:
    """Return whether a name ends as those of files of a registered format, or of one that is not read.

    Example:
      >>> is_file_name("model.safetensors"), is_file_name("model")
      (True, False)
    """
    return bool(_candidates([name]))


def item_files(names: Sequence[str]) -> list[str]:
    """Return the names in a folder that are files to open: the indices of parts, or every file of a format."""
    suffixes = tuple(
        suffix
        for name, found in registered_formats().items()
        for suffix in format_suffixes(name, found)
    )
    index_suffixes = tuple(suffix + _ANY_INDEX for suffix in suffixes)
    indices = [name for name in names if name.endswith(index_suffixes)]
    return indices or [name for name in names if name.endswith(suffixes)]


def _candidates(names: Sequence[str]) -> list[str]:
    # A single file of a format that is not read tells how to convert it.
    return item_files(names) or [name for name in names if name.endswith(FOREIGN_SUFFIXES)][:1]


file_folder = FolderFormat()
"""The format that is registered."""
