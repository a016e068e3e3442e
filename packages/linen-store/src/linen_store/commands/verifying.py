"""The command ``linen-store verify``: every file and every array against its checksum, several at a time."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from linen_core import VariableStore
from linen_store.commands.render import Outcome
from linen_store.errors import DamagedCheckpointError, UnfinishedCheckpointError
from linen_store.formats.orbax.checkpoint_store import CheckpointStore
from linen_store.formats.orbax.checksums import Checksums, damaged_files, damaged_top_files
from linen_store.reading.buffers import map_threads
from linen_store.reading.progress import in_terminal
from linen_store.reading.specs import nbytes
from linen_store.reading.stored import Stored, arrays_of, read_array

__all__ = ["verify"]

_BATCH_BYTES = 1 << 28
"""Bytes of arrays that are read at once."""

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


def verify(
    options: argparse.Namespace, opened: Callable[..., VariableStore], leaves: Callable[[int], str]
) -> Outcome:
    """Check every file and every array against its checksum.

    Args:
      options: the options of the command.
      opened: a function that opens the checkpoint.
      leaves: a function that renders a number of leaves.
    """
    problems: Problems = []
    count, coverage = 0, _Coverage(False, _NO_CHECKSUMS)
    try:
        coverage = _verify_files(options, opened, problems)
        if options.require_checksums and not coverage.has_checksums:
            problems.append((options.path, "it has no checksums"))
        if not problems:
            with opened(options, options.path) as store:
                found = arrays_of(store)
                with in_terminal(sum(nbytes(one.spec) for one in found)) as add:
                    for batch in _batches(found):
                        count += len(batch)
                        problems += _damaged_arrays(store, batch)
                        add(sum(nbytes(one.spec) for one in batch))
    except DamagedCheckpointError as error:
        problems.append((error.file, error.reason))
    except UnfinishedCheckpointError as error:
        problems.append((error.path, f"it is unfinished: {error.found}"))
    verb = "is" if len(problems) == 1 else "are"
    state = f"{len(problems):,} {verb} damaged" if problems else "all can be read"
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
        summary=f"{leaves(count)} read, {held}, {state}{limits}",
        code=1 if problems else 0,
    )


def _verify_files(
    options: argparse.Namespace, opened: Callable[..., VariableStore], problems: Problems
) -> _Coverage:
    """Compare files with their recorded sizes and CRC-32s."""
    with opened(options, options.path, verify=False) as store:
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


def _batches(found: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Divide arrays into batches, each of one collection."""
    batch: list[Stored] = []
    size = 0
    for one in found:
        if batch and (size >= _BATCH_BYTES or one.collection != batch[0].collection):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += nbytes(one.spec)
    if batch:
        yield batch


def _damaged_arrays(store: VariableStore, batch: Sequence[Stored]) -> Problems:
    """Read arrays at once, and if that fails one by one."""
    try:
        store.read(batch[0].collection, list(dict.fromkeys(one.path for one in batch)))
    except DamagedCheckpointError:
        return [problem for one in batch for problem in _damaged_array(store, one)]
    return []


def _damaged_array(store: VariableStore, one: Stored) -> Problems:
    try:
        read_array(store, one)
    except DamagedCheckpointError as error:
        return [("/".join(one.names), error.reason)]
    return []
