"""Lists the steps and items in a folder of checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from linen_core.errors import StoreError
from linen_store.errors import CheckpointNotFoundError, UnfinishedCheckpointError
from linen_store.filesystem.atomic_replace import is_staging
from linen_store.filesystem.failures import listed
from linen_store.filesystem.paths import local_path
from linen_store.filesystem.remote import is_remote
from linen_store.formats.folder import FLAX_STEP, item_files
from linen_store.formats.orbax.layout import STEP, UNFINISHED, find_tree, is_tree, item_names
from linen_store.formats.remote.opening import outline_of

__all__ = ["Entry", "entries"]


class Entry(NamedTuple):
    """One item of one step."""

    step: str | None
    """The number of the step; None in a folder without steps."""

    item: str | None
    """The value of ``item`` for `open_store`; None for a single item without a name."""

    state: str
    """``"finished"``, ``"unfinished"``, or why it cannot be opened."""


def entries(path: str | os.PathLike[str]) -> list[Entry]:
    """List the steps and items at a path, steps in order.

    Raises:
      CheckpointNotFoundError: nothing is at the path.
      StoreError: the folder cannot be read.
    """
    if is_remote(path):
        outline = outline_of(os.fsdecode(path))
        if outline is None:
            return [Entry(None, None, "finished")]
        with outline.errors_with_addresses():
            return entries(outline.folder)
    where = local_path(path)
    if not os.path.lexists(where):
        find_tree(where)  # raises, or finds the backup of the folder beside the path
        return [Entry(None, None, "finished")]
    if not os.path.isdir(where):
        return [Entry(None, None, "finished")]
    names = listed(where)
    steps = _step_entries(where, names)
    if steps and not is_tree(where):
        return [entry for number, name in steps for entry in _of_step(where, number, name)]
    return list(_of_folder(where, None))


def _step_entries(folder: str, names: list[str]) -> list[tuple[float, str]]:
    """Find the folders and files of steps, finished or not."""
    found = []
    for name in names:
        stem = name.partition(UNFINISHED)[0]
        if is_staging(name):
            stem = name[1:].split("-", 2)[2].rpartition("-")[0]
        match = STEP.fullmatch(stem)
        if match and (FLAX_STEP.fullmatch(stem) or os.path.isdir(os.path.join(folder, name))):
            found.append((float(match[2]), name))
    return sorted(found)


def _of_step(folder: str, number: float, name: str) -> Iterator[Entry]:
    step, path = f"{number:g}", os.path.join(folder, name)
    if UNFINISHED in name or is_staging(name):
        yield Entry(step, None, "unfinished")
    elif not os.path.isdir(path):
        yield Entry(step, None, "finished")
    else:
        yield from _of_folder(path, step)


def _of_folder(folder: str, step: str | None) -> Iterator[Entry]:
    """List the items of a folder without steps."""
    names = listed(folder)
    if is_tree(folder):
        yield Entry(step, None, "finished")
        return
    trees = item_names(folder, names)
    files = [] if trees else item_files(names)
    for name in trees or files:
        yield Entry(step, name, "finished")
    for name in names:
        if UNFINISHED in name:
            yield Entry(step, name.partition(UNFINISHED)[0], "unfinished")
    if not trees and not files and not any(UNFINISHED in name for name in names):
        yield Entry(step, None, _state(folder))


def _state(folder: str) -> str:
    try:
        find_tree(folder)
    except CheckpointNotFoundError:
        return "missing"
    except UnfinishedCheckpointError:
        return "unfinished"
    except StoreError:
        return "not a checkpoint"
    return "finished"
