"""Writes a checkpoint with Orbax, without its log and without its reports after a failure.

Orbax itself saves from several processes with collectives on the devices. In the background they would come between
those of a training step, and they wait five minutes for a process that died. Here, Orbax writes the files of each
process, and the caller lets the processes agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import jax

from linen_store.formats.orbax.checksums import CHECKPOINT_METADATA

__all__ = ["write_markers", "write_part", "write_with_orbax"]


def write_with_orbax(
    folder: str, tree: Any, item: str, compression: bool, metadata: dict[str, Any]
) -> None:
    """Write a tree as one item of a checkpoint of Orbax v1, from this process alone.

    Args:
      folder: the path of the checkpoint; nothing exists there yet.
      tree: the tree, with leaves of types that Orbax takes.
      item: the name of the item.
      compression: compress the arrays.
      metadata: the metadata of the whole checkpoint.
    """
    from orbax.checkpoint import v1  # type: ignore[import-untyped]

    if jax.process_count() > 1:
        start = time.time_ns()
        os.makedirs(os.path.join(folder, item))
        write_part(os.path.join(folder, item), tree, compression, jax.process_index(), lambda: None)
        write_markers(folder, item, metadata, start)
        return
    with _no_log(), _no_late_failures(), _context(compression):
        v1.save(folder, tree, checkpointable_name=item, custom_metadata=metadata)


def write_part(
    folder: str,
    tree: Any,
    compression: bool,
    process: int,
    others: Callable[[], None],
    *,
    has_all: bool = True,
) -> None:
    """Write the parts of a tree that one of several processes holds, as an item of a checkpoint.

    Process 0 also writes the names and the values that every process holds, and merges the parts of all.

    Args:
      folder: the folder of the item, which exists.
      tree: the tree, with leaves of types that Orbax takes.
      compression: compress the arrays.
      process: the number of this process.
      others: a function that returns when the other processes have written. Process 0 calls it while it writes.
      has_all: the other processes write in the same folder.
    """
    from orbax.checkpoint import v1

    context = _context(compression)
    # Orbax waits for no other process, because it sees this one only.
    context.multiprocessing.primary_host = 0
    context.multiprocessing.active_processes = {process}
    # A replica that differs in some bits would not match the CRC-32 of the first one.
    context.array.saving.use_replica_parallel = False
    context.array.saving.enable_post_merge_validation = has_all

    async def write() -> None:
        handler = v1.handlers.PyTreeHandler(context=context)
        await (await handler.save(_ItemFolder(v1, folder, others), tree))

    with _no_log(), _no_late_failures(), context:
        asyncio.run(write())


class _ItemFolder:
    """The folder of an item, as Orbax's handlers take it. They merge the parts of all processes once it is ready."""

    def __init__(self, v1: Any, folder: str, others: Callable[[], None]) -> None:
        self.path = v1.Context().file.path_class(folder)
        self._others = others

    async def await_creation(self) -> Any:
        """Wait until the other processes have written."""
        await asyncio.to_thread(self._others)
        return self.path


def write_markers(folder: str, item: str, metadata: dict[str, Any], start: int) -> None:
    """Write the files that mark a finished checkpoint of Orbax v1 with one item.

    Args:
      folder: the checkpoint.
      item: the name of the item.
      metadata: the metadata of the whole checkpoint.
      start: the time at which the save began, in nanoseconds.
    """
    from orbax.checkpoint import v1

    handler = v1.handlers.PyTreeHandler
    fields = {
        "item_handlers": {item: f"{handler.__module__}.{handler.__qualname__}"},
        "metrics": {},
        "performance_metrics": {},
        "init_timestamp_nsecs": start,
        "commit_timestamp_nsecs": time.time_ns(),
        "custom_metadata": metadata,
    }
    texts = {
        CHECKPOINT_METADATA: json.dumps(fields),
        "orbax.checkpoint": "",
        "commit_success.txt": "All processes have written their parts.",
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            stream.write(text)


def _context(compression: bool) -> Any:
    from orbax.checkpoint import v1

    context = v1.Context()
    context.array.saving.use_compression = compression
    # Zarr 2 has no shards: reading many small arrays takes a sixth less time than with zarr 3.
    context.array.saving.use_zarr3 = False
    # The values cannot change meanwhile: the caller waits, or they were copied before.
    context.memory_options.deepcopy_host_arrays = False
    return context


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Silence the log of Orbax, unless the user has enabled it. Errors are raised anyway."""
    if logging.getLogger("linen_store").isEnabledFor(logging.INFO):
        yield
        return
    logger = logging.getLogger("absl")
    logger.addFilter(_is_not_of_orbax)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_of_orbax)


def _is_not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname


@contextlib.contextmanager
def _no_late_failures() -> Iterator[None]:
    """Silence the tracebacks of writes that end after another one has failed.

    Orbax closes its event loop at the first failure. The other writes of tensorstore then fail to report to it, some of
    them much later. Python also logs the errors of its unfinished tasks when it removes them. Therefore the hook and
    the filter stay installed after a failed save.
    """
    before, logger = sys.unraisablehook, logging.getLogger("asyncio")
    if isinstance(before, _LateFailures):
        yield
        return
    sys.unraisablehook = ours = _LateFailures(before)
    logger.addFilter(_is_of_others)
    yield
    logger.removeFilter(_is_of_others)
    if sys.unraisablehook is ours:
        sys.unraisablehook = before


def _is_of_others(record: logging.LogRecord) -> bool:
    """Return whether a log entry is not the error of a task of Orbax."""
    text = record.getMessage()
    return not (text.startswith("Task exception was never retrieved") and "orbax" in text)


class _LateFailures:
    """A `sys.unraisablehook` that ignores such reports and passes on everything else."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        where = traceback.extract_tb(unraisable.exc_traceback)
        is_late = str(unraisable.exc_value) == "Event loop is closed" and any(
            frame.name == "call_soon_threadsafe" for frame in where
        )
        if not is_late:
            self._before(unraisable)
