"""Orbax's part of a save: it writes the arrays, without logging and without noise after a failure."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator
from typing import Any

__all__ = ["write_with_orbax"]


def write_with_orbax(
    folder: str, tree: Any, item: str, compression: bool, metadata: dict[str, Any]
) -> None:
    """Write a tree as one item of a checkpoint of Orbax v1.

    Args:
      folder: where; nothing is there yet.
      tree: the tree, with leaves that Orbax takes.
      item: what the item is called.
      compression: whether arrays are compressed.
      metadata: what is recorded of the whole checkpoint.
    """
    from orbax.checkpoint import v1  # type: ignore[import-untyped]

    context = v1.Context()
    context.array.saving.use_compression = compression
    # Without a chunk inside a shard inside a value, many small arrays are read a sixth faster.
    context.array.saving.use_zarr3 = False
    # Nothing changes the values meanwhile: the caller waits, or they were copied before.
    context.memory_options.deepcopy_host_arrays = False
    with _no_log(), _no_late_failures(), context:
        v1.save(folder, tree, checkpointable_name=item, custom_metadata=metadata)


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Keep Orbax from logging, unless the user has asked for it; errors are raised anyway."""
    if logging.getLogger("linen_store").isEnabledFor(logging.INFO):
        yield
        return
    logger = logging.getLogger("absl")
    silence = _Silence()
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)


class _Silence(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "orbax" not in record.pathname


@contextlib.contextmanager
def _no_late_failures() -> Iterator[None]:
    """Keep writes that end after another one has failed from printing a traceback each.

    Orbax closes its event loop at the first failure. The other writes of tensorstore then find none to
    report to, some of them long after: once a save has failed, such reports stay unprinted.
    """
    before = sys.unraisablehook
    if isinstance(before, _LateFailures):
        yield
        return
    sys.unraisablehook = ours = _LateFailures(before)
    yield
    if sys.unraisablehook is ours:
        sys.unraisablehook = before


class _LateFailures:
    """A hook of `sys.unraisablehook` that passes on everything else."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        where = traceback.extract_tb(unraisable.exc_traceback)
        is_late = str(unraisable.exc_value) == "Event loop is closed" and any(
            frame.name == "call_soon_threadsafe" for frame in where
        )
        if not is_late:
            self._before(unraisable)
