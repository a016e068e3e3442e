"""Telling how far a long read is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

__all__ = ["Progress", "Tell", "batches", "in_terminal", "reporting"]

Progress: TypeAlias = bool | Callable[[int, int], None]
"""Whether to show a bar, or what to call with the bytes read so far and those in all."""

Tell: TypeAlias = Callable[[int], None]
"""A function that is called with the size, in bytes, of each part that was read."""

_SECONDS = 0.1
"""How often the line in the terminal is written anew."""

_PART_BYTES = 1 << 28
"""How much is read between two reports."""


def batches(
    wanted: Mapping[tuple[str, tuple[str, ...]], int], *, in_parts: bool
) -> Iterator[tuple[str, list[tuple[str, ...]], int]]:
    """Divide addresses into batches: by collection, and in parts of some size if so wished.

    Args:
      wanted: the size of what lies at each address, a collection and a path.
      in_parts: whether a collection may be read in several batches.
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
def in_terminal(total: int) -> Iterator[Tell]:
    """Show in the terminal how far a command is, in a line that is gone at the end.

    It is written to the standard error, and only if that is a terminal.

    Args:
      total: how many bytes there are.
    """
    if not sys.stderr.isatty():
        yield lambda _size: None
        return
    done, shown = 0, 0.0

    def tell(size: int) -> None:
        nonlocal done, shown
        done += size
        if done >= total or time.monotonic() - shown >= _SECONDS:
            shown = time.monotonic()
            part = f"{100 * done // max(total, 1):3} %" if done < total else "finishing,"
            sys.stderr.write(f"\r{part} of {total / 2**20:,.1f} MiB\x1b[K")
            sys.stderr.flush()

    try:
        yield tell
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


@contextlib.contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Tell | None]:
    """Give a function that takes how many bytes came, or None where nobody wants to know."""
    if callable(progress):
        done = 0

        def tell(size: int) -> None:
            nonlocal done
            done += size
            progress(done, total)

        yield tell
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
