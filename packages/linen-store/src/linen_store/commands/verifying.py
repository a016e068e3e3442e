"""The command ``linen-store verify``: every file and every array against its checksum, several at a time."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from typing import NamedTuple

from linen_core import VariableStore
from linen_store._texts import counted
from linen_store.commands.parser import open_chosen
from linen_store.commands.render import Outcome
from linen_store.errors import DamagedCheckpointError, UnfinishedCheckpointError
from linen_store.formats.orbax.checkpoint_store import CheckpointStore
from linen_store.formats.orbax.checksums import Checksums, damaged_files, damaged_top_files
from linen_store.reading.buffers import map_threads
from linen_store.reading.progress import batches, in_terminal
from linen_store.reading.stored import Names, Stored, arrays_of, read_array, value_sizes

__all__ = ["verify"]

_ALL = "every file and every array was compared with its checksum"
_UNCHECKED_ITEMS = "the files of {} have no checksums and were not compared"
_ORBAX_ALONE = "Orbax wrote it: the index of the arrays has checksums, their values have none"
_NO_CHECKSUMS = "the format has no checksums: everything was read"

Problems = list[tuple[str, str]]
"""Where each problem is, and what it is."""


class _Coverage(NamedTuple):
    """How far checksums cover a checkpoint."""

    has_checksums: bool
    text: str


def verify(options: argparse.Namespace) -> Outcome:
    """Check every file and every array against its checksum."""
    problems: Problems = []
    count, coverage = 0, _Coverage(False, _NO_CHECKSUMS)
    try:
        coverage = _verify_files(options, problems)
        if options.require_checksums and not coverage.has_checksums:
            problems.append((options.path, "it has no checksums"))
        if not problems:
            with open_chosen(options, options.path) as store:
                found = arrays_of(store)
                count, sizes = len(found), value_sizes(found)
                with in_terminal(sum(sizes.values())) as add:
                    for collection, paths, size in batches(sizes, in_parts=True):
                        problems += _damaged_arrays(store, found, collection, paths)
                        add(size)
    except DamagedCheckpointError as error:
        problems.append((error.file, error.reason))
    except UnfinishedCheckpointError as error:
        problems.append((error.path, f"it is unfinished: {error.found}"))
    damaged = f"{counted(len(problems), 'is', 'are')} damaged"
    state = damaged if problems else "all can be read"
    held = "checksums" if coverage.has_checksums else "no checksums"
    limits = "" if coverage.text in (_ALL, _NO_CHECKSUMS) else f"; {coverage.text}"
    return Outcome(
        data={
            "ok": not problems,
            "leaves": count,
            "checksums": coverage.has_checksums,
            "coverage": coverage.text,
            "problems": [{"where": where, "what": what} for where, what in problems],
        },
        columns=("where", "what"),
        rows=problems,
        summary=f"{counted(count, 'leaf', 'leaves')} read, {held}, {state}{limits}",
        code=1 if problems else 0,
    )


def _verify_files(options: argparse.Namespace, problems: Problems) -> _Coverage:
    """Compare files with their recorded sizes and CRC-32s."""
    with open_chosen(options, options.path, verify=False) as store:
        if not isinstance(store, CheckpointStore):
            return _Coverage(False, _NO_CHECKSUMS)
        checksums = Checksums.load(store.folder)
        if checksums is None:
            return _Coverage(False, _ORBAX_ALONE)
        store.fetch_files()
        found_files = list(damaged_top_files(store.folder, checksums))
        lock = threading.Lock()
        with in_terminal(sum(size for size, _ in checksums.files.values())) as add:

            def report(size: int) -> None:
                with lock:
                    add(size)

            def damage(name: str) -> Problems:
                return list(damaged_files(store.folder, checksums, names=[name], report=report))

            for found in map_threads(damage, list(checksums.files)):
                found_files += found
        problems += [(store.shown(file), what) for file, what in found_files]
        others = store.other_items()
        text = _UNCHECKED_ITEMS.format(", ".join(map(repr, others))) if others else _ALL
        return _Coverage(True, text)


def _damaged_arrays(
    store: VariableStore, found: Sequence[Stored], collection: str, paths: Sequence[Names]
) -> Problems:
    """Read values at once, and if that fails the arrays in them one by one."""
    try:
        store.read(collection, paths)
    except DamagedCheckpointError:
        inside = [one for one in found if one.collection == collection and one.path in paths]
        return [problem for one in inside for problem in _damaged_array(store, one)]
    return []


def _damaged_array(store: VariableStore, one: Stored) -> Problems:
    try:
        read_array(store, one)
    except DamagedCheckpointError as error:
        return [("/".join(one.names), error.reason)]
    return []
