"""Reports of the progress of a long read."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

__all__ = ["Progress", "Report", "batches", "in_terminal", "reporting"]

Progress: TypeAlias = bool | Callable[[int, int], None]
"""True for a progress bar, or a function of the bytes read so far and the bytes in all."""

Report: TypeAlias = Callable[[int], None]
"""A function of the size of each part that was read, in bytes."""

_SECONDS = 0.1
"""Interval at which the line in the terminal is rewritten."""

_PART_BYTES = 1 << 28
"""Bytes that are read between two reports."""


def batches(
    wanted: Mapping[tuple[str, tuple[str, ...]], int], *, in_parts: bool
) -> Iterator[tuple[str, list[tuple[str, ...]], int]]:
    """Divide values into batches of one collection each.

    Args:
      wanted: the size of each value, by its collection and path.
      in_parts: divide large collections into several batches.

    Yields:
      The collection, the paths, and the size of each batch.
    """
    collection, paths, size = "", list[tuple[str, ...]](), 0
    for (name, path), nbytes in wanted.items():
        if paths and (name != collection or (in_parts and size >= _PART_BYTES)):
            yield collection, paths, size
            paths, size = [], 0
        collection = name
        paths.append(path)
        size += nbytes
    if paths:
        yield collection, paths, size


@contextlib.contextmanager
def in_terminal(total: int) -> Iterator[Report]:
    """Show the progress of a command in a line on the standard error, if that is a terminal.

    The line is removed at the end.

    Args:
      total: the bytes in all.
    """
    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    done, shown = 0, 0.0

    def add(size: int) -> None:
        nonlocal done, shown
        done += size
        if done >= total or time.monotonic() - shown >= _SECONDS:
            shown = time.monotonic()
            part = f"{100 * done // max(total, 1):3} %" if done < total else "finishing,"
            sys.stderr.write(f"\r{part} of {total / 2**20:,.1f} MiB\x1b[K")
            sys.stderr.flush()

    try:
        yield add
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@contextlib.contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Report | None]:
    """Yield a function that takes the size of each part, or None if no progress is shown."""
    if callable(progress):
        done = 0

        def add(size: int) -> None:
            nonlocal done
            done += size
            progress(done, total)

        yield add
        return
    if not progress:
        yield None
        return
    try:
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        yield None
        return
    with Bar(
        "[progress.description]{task.description}",
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    ) as bar:
        task = bar.add_task("Reading", total=total)
        yield lambda size: bar.advance(task, size)
