"""Failures to save."""

from __future__ import annotations

import os
from collections.abc import Sequence

from linen_core.errors import AlreadyExistsError, StoreError
from linen_store.errors._base import StrPath

__all__ = [
    "CheckpointExistsError",
    "DottedNameError",
    "NameCollisionError",
    "NestedSaveError",
    "SaveTimeoutError",
    "SeveralProcessesError",
    "UncompressedFormatError",
    "UnencodableNameError",
    "UnknownFormatError",
    "UnsupportedLeafError",
]


class CheckpointExistsError(StoreError, AlreadyExistsError):
    """Something is already at the path that is saved to.

    Attributes:
      path: the path.
    """


class NestedSaveError(StoreError, RuntimeError):
    """`save` was called where the same thread is already saving, as in the handler of a signal.

    Attributes:
      path: the path that is saved to.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = os.fspath(path)
        super().__init__(
            f"Cannot save to {self.path!r}: this thread is already saving, and would wait for itself "
            "without end. Pass wait=False; the save then follows the one that runs."
        )


class SaveTimeoutError(StoreError, TimeoutError):
    """A save in the background did not end in the time it was waited for; it goes on.

    Attributes:
      path: the path that is saved to.
      timeout: how many seconds were waited.
    """

    def __init__(self, path: StrPath, timeout: float | None) -> None:
        self.path = os.fspath(path)
        self.timeout = timeout
        super().__init__(
            f"Still saving to {self.path!r} after {timeout} seconds. The save goes on; wait for "
            "it again."
        )


class SeveralProcessesError(StoreError, RuntimeError):
    """`save` was called where several processes of JAX run together; it writes from a single one.

    Attributes:
      path: the path that is saved to.
      processes: how many processes run.
    """

    def __init__(self, path: StrPath, processes: int) -> None:
        self.path = os.fspath(path)
        self.processes = processes
        super().__init__(
            f"Cannot save to {self.path!r}: expected a single process, found {processes} that run "
            "together. Call `orbax.checkpoint.v1.save` in each of them; linen-store opens what it "
            "writes."
        )


class NameCollisionError(StoreError, ValueError):
    """Two leaves would get the same name in the checkpoint, because names are joined by dots.

    Attributes:
      path: the path that is saved to.
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


class UnencodableNameError(StoreError, ValueError):
    """A name holds half a surrogate pair, which UTF-8 and so every format cannot write.

    Attributes:
      path: the path that is saved to.
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
    """A name holds the dot or slash by which a format joins names, or is empty.

    Attributes:
      path: the path that is saved to.
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
            f"Cannot save {self.leaf} to {self.path!r}: {format} joins names by {joined_by}, so a "
            "name must be without any and not empty. Rename it, or save as an Orbax checkpoint."
        )


class UnknownFormatError(StoreError, ValueError):
    """`convert` was asked for a format that it does not write.

    Attributes:
      found: the format.
      known: those it writes.
    """

    def __init__(self, found: str, known: Sequence[str]) -> None:
        self.found = found
        self.known = tuple(known)
        super().__init__(
            f"Cannot convert to {found!r}: expected one of {list(self.known)}. Pass `to=` one of them, "
            "or leave it out for the ending of the path to tell."
        )


class UncompressedFormatError(StoreError, ValueError):
    """Compression was asked for, of a format that has none.

    Attributes:
      path: the path that is saved to.
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
      path: the path that is saved to.
      leaf: names of the leaf.
      found: what the value is.
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
