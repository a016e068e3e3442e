"""Failures to save."""

from __future__ import annotations

import os
from collections.abc import Sequence

from linen_core.errors import AlreadyExistsError, StoreError
from linen_store.errors._base import StrPath

__all__ = [
    "CheckpointExistsError",
    "DottedNameError",
    "LostProcessError",
    "NameCollisionError",
    "NestedSaveError",
    "ProcessesDisagreeError",
    "RemoteExistsError",
    "SaveTimeoutError",
    "SeveralProcessesError",
    "UncompressedFormatError",
    "UnencodableNameError",
    "UnknownFormatError",
    "UnsortableNamesError",
    "UnsupportedLeafError",
]


class CheckpointExistsError(StoreError, AlreadyExistsError):
    """A file or folder is already at the path of a save.

    Attributes:
      path: the path.
    """


class RemoteExistsError(CheckpointExistsError):
    """A checkpoint is already at the address of a save, and a bucket cannot replace it in one step.

    Attributes:
      path: the address.
    """

    def __init__(self, path: StrPath) -> None:
        super().__init__(path)
        text = (
            f"Cannot save to {self.path!r}: it exists already, and a bucket cannot replace it in one step. Save to "
            "another address, for example that of a new step, then delete the old checkpoint."
        )
        self.args = (text,)


class NestedSaveError(StoreError, RuntimeError):
    """`save` was called while the same thread is already saving, as in the handler of a signal.

    Attributes:
      path: the path of the save.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot save to {self.path!r}: this thread is already saving, and would wait for itself "
            "forever. Pass wait=False; the save then starts after the running one."
        )


class SaveTimeoutError(StoreError, TimeoutError):
    """A save in the background did not end before the timeout; it continues.

    Attributes:
      path: the path of the save.
      timeout: the timeout in seconds.
    """

    def __init__(self, path: StrPath, timeout: float | None) -> None:
        self.path = os.fspath(path)
        self.timeout = timeout
        super().__init__(
            f"Still saving to {self.path!r} after {timeout} seconds. The save continues; wait for "
            "it again."
        )


class SeveralProcessesError(StoreError, RuntimeError):
    """`save` was called in one of several processes that have no coordination service.

    Attributes:
      path: the path of the save.
      processes: the number of processes.
    """

    def __init__(self, path: StrPath, processes: int) -> None:
        self.path = os.fspath(path)
        self.processes = processes
        super().__init__(
            f"Cannot save to {self.path!r}: {processes} processes run together, and expected the "
            "coordination service of JAX to let them agree. Call `jax.distributed.initialize` in each of "
            "them before the first computation."
        )


class LostProcessError(StoreError, RuntimeError):
    """A process of a save died or did not call `save`.

    Attributes:
      path: the path of the save.
      processes: the numbers of the processes.
      count: the number of all processes.
      timeout: the number of seconds after which a silent process is lost.
    """

    def __init__(self, path: StrPath, processes: Sequence[int], count: int, timeout: float) -> None:
        self.path = os.fspath(path)
        self.processes = tuple(processes)
        self.count = count
        self.timeout = timeout
        lost = ", ".join(map(str, self.processes))
        super().__init__(
            f"Cannot save to {self.path!r}: expected signs of life of {count} processes, found none of "
            f"process {lost} for {timeout:g} seconds. An earlier checkpoint there is unchanged, unless the new "
            "one is complete. Start the processes again; if they were only slow, pass a longer `timeout=`."
        )


class ProcessesDisagreeError(StoreError, ValueError):
    """Several processes called `save` with different paths, options or trees.

    Attributes:
      path: the path that process 0 passed.
      process: the number of the first process that differs.
      found: a description of what it passed.
      expected: a description of what process 0 passed.
    """

    def __init__(self, path: StrPath, process: int, found: str, expected: str) -> None:
        self.path = os.fspath(path)
        self.process = process
        self.found = found
        self.expected = expected
        super().__init__(
            f"Cannot save to {self.path!r}: process {process} has {found}, and process 0 has "
            f"{expected}. Nothing was written. Pass the same path, options and tree in every process."
        )


class NameCollisionError(StoreError, ValueError):
    """Two leaves would get the same name in the checkpoint, because names are joined by dots.

    Attributes:
      path: the path of the save.
      name: the name in the checkpoint.
      leaves: the two leaves.
    """

    def __init__(
        self, path: StrPath, name: str, first: Sequence[str], second: Sequence[str]
    ) -> None:
        self.path = os.fspath(path)
        self.name = name
        self.leaves = (tuple(first), tuple(second))
        super().__init__(
            f"Cannot save to {self.path!r}: the leaves {self.leaves[0]} and {self.leaves[1]} "
            f"would both be named {name!r} in the checkpoint. Rename one of them."
        )


class UnsortableNamesError(StoreError, ValueError):
    """The names in a dict have types that cannot be compared, and JAX sorts them.

    Attributes:
      path: the path of the save.
      names: the names.
    """

    def __init__(self, path: StrPath, names: Sequence[object]) -> None:
        self.path = os.fspath(path)
        self.names = tuple(names)
        super().__init__(
            f"Cannot save to {self.path!r}: a dict has the names {', '.join(map(repr, self.names))}, whose types JAX "
            "cannot sort. Make them all strings or all integers."
        )


class UnencodableNameError(StoreError, ValueError):
    """A name contains half a surrogate pair, which cannot be written as UTF-8.

    Attributes:
      path: the path of the save.
      leaf: names of the leaf.
    """

    def __init__(self, path: StrPath, leaf: Sequence[str]) -> None:
        self.path = os.fspath(path)
        self.leaf = tuple(leaf)
        super().__init__(
            f"Cannot save {self.leaf} to {self.path!r}: names are written as UTF-8, and this one has "
            "half a surrogate pair in it. Rename it."
        )


class DottedNameError(StoreError, ValueError):
    """A name contains the dot or slash that a format joins names with, or is empty.

    Attributes:
      path: the path of the save.
      leaf: names of the leaf.
      format: the format.
    """

    def __init__(
        self,
        path: StrPath,
        leaf: Sequence[str],
        format: str = "safetensors",  # noqa: A002 - what users call it
        separator: str = ".",
    ) -> None:
        self.path = os.fspath(path)
        self.leaf = tuple(leaf)
        self.format = format
        joined_by = "dots" if separator == "." else "slashes"
        super().__init__(
            f"Cannot save {self.leaf} to {self.path!r}: {format} joins names by {joined_by}. A name "
            "must not contain any, nor be empty. Rename it, or save as an Orbax checkpoint."
        )


class UnknownFormatError(StoreError, ValueError):
    """`convert` does not write a format.

    Attributes:
      found: the format.
      known: the formats that it writes.
    """

    def __init__(self, found: str, known: Sequence[str]) -> None:
        self.found = found
        self.known = tuple(known)
        super().__init__(
            f"Cannot convert to {found!r}: expected one of {list(self.known)}. Pass `to=` one of them, "
            "or leave it out: the suffix of the path then decides."
        )


class UncompressedFormatError(StoreError, ValueError):
    """Compression was requested for a format without it.

    Attributes:
      path: the path of the save.
      format: the format.
      compressible: the formats that can be compressed.
    """

    def __init__(self, path: StrPath, format: str, compressible: Sequence[str]) -> None:  # noqa: A002 - as above
        self.path = os.fspath(path)
        self.format = format
        self.compressible = tuple(compressible)
        super().__init__(
            f"Cannot compress {self.path!r}: {format} has no compression. Leave `compression=` out, or "
            f"pass `to=` one of {list(self.compressible)}."
        )


class UnsupportedLeafError(StoreError, TypeError):
    """A value cannot be saved.

    Attributes:
      path: the path of the save.
      leaf: names of the leaf.
      found: a description of the value.
      format: the format that cannot hold it; None for an Orbax checkpoint.
    """

    def __init__(
        self,
        path: StrPath,
        leaf: Sequence[str],
        found: str,
        format: str | None = None,  # noqa: A002 - what users call it
    ) -> None:
        self.path = os.fspath(path)
        self.leaf = tuple(leaf)
        self.found = found
        self.format = format
        expected, advice = "an array, a number, a string or None", "Convert or remove it."
        if format is not None:
            expected = f"a value that {format} can hold"
            advice = "Convert or remove it, or save as an Orbax checkpoint."
        super().__init__(
            f"Cannot save {'/'.join(map(str, leaf))!r} to {self.path!r}: found {found}, expected "
            f"{expected}. {advice}"
        )
