"""Writes a checkpoint with Orbax, without its log and without its reports after a failure."""

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
      folder: the path of the checkpoint; nothing exists there yet.
      tree: the tree, with leaves of types that Orbax takes.
      item: the name of the item.
      compression: compress the arrays.
      metadata: the metadata of the whole checkpoint.
    """
    from orbax.checkpoint import v1  # type: ignore[import-untyped]

    context = v1.Context()
    context.array.saving.use_compression = compression
    # Zarr 2 has no shards: reading many small arrays takes a sixth less time than with zarr 3.
    context.array.saving.use_zarr3 = False
    # The values cannot change meanwhile: the caller waits, or they were copied before.
    context.memory_options.deepcopy_host_arrays = False
    with _no_log(), _no_late_failures(), context:
        v1.save(folder, tree, checkpointable_name=item, custom_metadata=metadata)


@contextlib.contextmanager
def _no_log() -> Iterator[None]:
    """Silence the log of Orbax, unless the user has enabled it. Errors are raised anyway."""
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
    """Silence the tracebacks of writes that end after another one has failed.

    Orbax closes its event loop at the first failure. The other writes of tensorstore then fail to report to it, some of
    them much later. Therefore the hook stays installed after a failed save.
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
