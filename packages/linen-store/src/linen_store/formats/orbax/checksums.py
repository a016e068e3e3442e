"""The file of checksums that `save` puts beside the arrays of a checkpoint.

Two lines: the CRC-32 of the second line in hexadecimal digits, and a JSON object with the CRC-32 of each leaf's values
(row-major, little-endian) or of each of its chunks, the size and CRC-32 of each file, and the shape, dtype and kind of
each array. Reading the shapes here is faster than from the arrays, and Orbax cannot hold arrays without elements.
CRC-32 is that of ISO 3309 and zlib.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from linen_store.errors import DamagedCheckpointError
from linen_store.filesystem.failures import read_failure
from linen_store.reading.specs import Bounds, is_storable
from linen_store.reading.tree import Kind

__all__ = [
    "ANNOUNCEMENT",
    "CHECKPOINT_METADATA",
    "FILE_NAME",
    "Checksums",
    "announces_checksums",
    "crc32",
    "crc_of_array",
    "crc_of_file",
    "crc_of_top_files",
    "damaged_files",
    "damaged_top_files",
    "list_files",
    "missing_files",
]

FILE_NAME = "_linen_checksums.json"
ANNOUNCEMENT = "linen_checksums"
"""The entry of a checkpoint's own metadata that announces the file."""

CHECKPOINT_METADATA = "_CHECKPOINT_METADATA"
"""The file of a checkpoint's own metadata."""
_FILE_BLOCK = 1 << 22
_ARRAY_KINDS = ("array", "numpy")
# numpy parses names of dtypes; nested JSON exhausts the stack.
_BAD_FIELDS = (ValueError, KeyError, TypeError, AttributeError, SyntaxError, RecursionError)


@dataclasses.dataclass(frozen=True)
class Checksums:
    """The record of a tree that `save` writes."""

    leaves: dict[str, int]
    """CRC-32 of the values of each array that is one chunk, by its joined name."""

    files: dict[str, tuple[int, int]]
    """Size and CRC-32 of each file, by its path relative to the folder."""

    arrays: dict[str, tuple[Sequence[int], str, Kind]]
    """Shape, dtype and kind of each array, of keys those of their data, by its joined name."""

    keys: dict[str, str] = dataclasses.field(default_factory=dict)
    """The implementation of the generator of each array of keys that Orbax does not store as keys."""

    integers: Sequence[tuple[str, ...]] = ()
    """The dicts whose keys are integers, by the names that lead to them."""

    chunks: dict[str, Sequence[tuple[Bounds, int]]] = dataclasses.field(default_factory=dict)
    """The chunks of each other array: bounds and CRC-32."""

    top: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    """Size and CRC-32 of each file of the checkpoint that lies beside the folder."""

    hosted: Sequence[str] = ()
    """The jax arrays that Orbax holds as numpy arrays: one of several processes saved them."""

    def write(self, folder: str) -> None:
        """Write the file, and wait until it is on the disk."""
        body = json.dumps(dataclasses.asdict(self), separators=(",", ":")).encode()
        with open(os.path.join(folder, FILE_NAME), "wb") as stream:
            stream.write(b"%08x\n%s\n" % (crc32(body), body))
            stream.flush()
            os.fsync(stream.fileno())

    @classmethod
    def load(cls, folder: str) -> Checksums | None:
        """Read the file; None if there is none, as in a checkpoint that Orbax wrote itself.

        Raises:
          DamagedCheckpointError: the file is damaged.
        """
        file = os.path.join(folder, FILE_NAME)
        try:
            with open(file, "rb") as stream:
                head, _, rest = stream.read().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise read_failure(folder, file, error) from error
        body = rest[:-1]
        if rest[-1:] != b"\n" or head != b"%08x" % crc32(body):
            raise DamagedCheckpointError(folder, file, "its own CRC-32 differs")
        try:
            fields = json.loads(body)
            return cls(
                leaves=_with_values_of(fields["leaves"], int),
                files=_checked_files(fields["files"]),
                top=_checked_files(fields.get("top", {})),
                arrays=_checked_arrays(fields["arrays"]),
                keys=_with_values_of(fields.get("keys", {}), str),
                integers=[tuple(map(str, names)) for names in fields.get("integers", ())],
                chunks={
                    name: [(_bounds(bounds), _whole(crc)) for bounds, crc in found]
                    for name, found in fields.get("chunks", {}).items()
                },
                hosted=[str(name) for name in fields.get("hosted", ())],
            )
        except _BAD_FIELDS as error:
            raise DamagedCheckpointError(
                folder, file, f"{type(error).__name__}: {error}"
            ) from error


def announces_checksums(folder: str) -> bool:
    """Return whether the checkpoint of an item announces that checksums were written."""
    parent, item = os.path.split(os.path.abspath(folder))
    try:
        with open(os.path.join(parent, CHECKPOINT_METADATA), "rb") as stream:
            return item in json.load(stream)["custom_metadata"][ANNOUNCEMENT]
    except (OSError, *_BAD_FIELDS):
        return False


def _whole(number: Any) -> int:
    if type(number) is not int:
        msg = f"{number!r} is not a whole number"
        raise TypeError(msg)
    return number


def _checked_files(files: Any) -> dict[str, tuple[int, int]]:
    return {name: (_whole(size), _whole(crc)) for name, (size, crc) in files.items()}


def _bounds(found: Any) -> Bounds:
    return tuple((_whole(start), _whole(stop)) for start, stop in found)


def _with_values_of(values: Any, kind: type) -> Any:
    """Check that a mapping has values of one type."""
    found = set(map(type, values.values())) - {kind}
    if found:
        msg = f"expected {kind.__name__}, found {found.pop().__name__}"
        raise TypeError(msg)
    return values


def _checked_arrays(arrays: Any) -> Any:
    """Check the descriptions of arrays; each pair of dtype and kind once."""
    if any(len(entry) != 3 for entry in arrays.values()):
        msg = "expected a shape, a dtype and a kind of each array"
        raise ValueError(msg)
    shapes = [shape for shape, _, _ in arrays.values()]
    sizes = [size for shape in shapes for size in shape]
    if (
        set(map(type, shapes)) - {list}
        or set(map(type, sizes)) - {int}
        or min(sizes, default=0) < 0
    ):
        msg = "expected shapes, found something else"
        raise ValueError(msg)
    for dtype, kind in {(dtype, kind) for _, dtype, kind in arrays.values()}:
        if kind not in _ARRAY_KINDS or not is_storable(np.dtype(jnp.dtype(dtype))):
            msg = f"expected a dtype and a kind of array, found {dtype!r} and {kind!r}"
            raise ValueError(msg)
    return arrays


@functools.cache
def _implementation() -> Callable[[Any, int], int]:
    """Import the CRC-32 of ISA-L, which is four times as fast as that of zlib; zlib's if ISA-L is not installed."""
    try:
        from isal.isal_zlib import crc32 as found
    except ImportError:
        from zlib import crc32 as found
    return found


def crc32(data: Any, value: int = 0) -> int:
    """Compute the CRC-32 of bytes; ``value`` is that of the bytes before them."""
    return _implementation()(data, value)


def crc_of_array(array: np.ndarray[Any, Any]) -> int:
    """Compute the CRC-32 of an array's values in row-major order."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return crc32(flat.view(np.uint8).data) if flat.size else 0


def crc_of_file(file: str, report: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Compute the size and the CRC-32 of a file; ``report`` gets the size of each part that was read."""
    with open(file, "rb") as stream:
        size = crc = 0
        while block := stream.read(_FILE_BLOCK):
            size += len(block)
            crc = crc32(block, crc)
            if report is not None:
                report(len(block))
    return size, crc


def crc_of_top_files(folder: str) -> dict[str, tuple[int, int]]:
    """Compute the size and CRC-32 of each file directly in a checkpoint."""
    names = sorted(
        name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))
    )
    return {name: crc_of_file(os.path.join(folder, name)) for name in names}


def list_files(folder: str) -> list[str]:
    """List the files below a folder, by paths relative to it, without the file of checksums."""
    return sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if name != FILE_NAME
    )


def damaged_files(
    folder: str,
    checksums: Checksums,
    *,
    names: Sequence[str] | None = None,
    sizes_only: bool = False,
    report: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that differs from the saved one, and how it differs.

    Args:
      folder: the tree's folder.
      checksums: the record.
      names: the files to check, by relative path; all by default.
      sizes_only: compare sizes, without reading any file.
      report: a function of the number of bytes of each part that was read.

    Raises:
      ReadFailedError: the system refuses to read a file.
    """
    for name in checksums.files if names is None else names:
        yield from _damage(folder, name, checksums.files[name], sizes_only, report)


def missing_files(folder: str, checksums: Checksums) -> Iterator[tuple[str, str]]:
    """Yield the path of each file that does not exist, and that it is missing."""
    for name in checksums.files:
        file = os.path.join(folder, name)
        if not os.path.lexists(file):
            yield file, "it is missing"


def damaged_top_files(folder: str, checksums: Checksums) -> Iterator[tuple[str, str]]:
    """Yield each damaged file of the checkpoint beside the folder of an item, and how it differs.

    Args:
      folder: the folder of the item. If it lies alone, somewhere else than in its checkpoint, nothing is damaged.
      checksums: the record.
    """
    parent = os.path.dirname(os.path.abspath(folder))
    if any(os.path.lexists(os.path.join(parent, name)) for name in checksums.top):
        for name, recorded in checksums.top.items():
            yield from _damage(parent, name, recorded, False, None)


def _damage(
    folder: str,
    name: str,
    recorded: tuple[int, int],
    sizes_only: bool,
    report: Callable[[int], None] | None,
) -> Iterator[tuple[str, str]]:
    size, crc = recorded
    file = os.path.join(folder, name)
    try:
        found = os.stat(file).st_size
        if found != size:
            yield file, f"it has {found} bytes, expected {size}"
        elif not sizes_only and crc_of_file(file, report)[1] != crc:
            yield file, "its CRC-32 differs"
    except OSError as error:
        failure = read_failure(folder, file, error)
        if not isinstance(failure, DamagedCheckpointError):
            raise failure from error
        yield file, failure.reason
