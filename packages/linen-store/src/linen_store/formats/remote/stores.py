"""Stores whose names are on this machine, and whose arrays are read from a bucket or a web server."""

from __future__ import annotations

import concurrent.futures
import json
import os
from typing import Any, Unpack

from linen_core.errors import StoreError
from linen_store.errors import CheckpointNotFoundError, RemoteFailedError
from linen_store.filesystem.outline import Outline
from linen_store.filesystem.remote import RemoteFolder, failure_of
from linen_store.formats.orbax.aggregate import AGGREGATE
from linen_store.formats.orbax.checkpoint_store import CheckedFiles, CheckpointStore
from linen_store.formats.orbax.checksums import CHECKPOINT_METADATA, FILE_NAME
from linen_store.formats.orbax.layout import METADATA, find_tree
from linen_store.formats.parts_index import read_index
from linen_store.formats.safetensors import SafetensorsStore
from linen_store.reading.file_array import FileArray
from linen_store.reading.options import FlatOptions, ReadOptions, Root, Verify
from linen_store.reading.remote_array import RemoteArray
from linen_store.reading.tree import Leaf

__all__ = ["RemoteCheckpointStore", "RemoteSafetensorsStore", "fetch_headers"]

_FETCHED_FILES = (METADATA, FILE_NAME, AGGREGATE, "_strings.json", "_sharding")
_DAMAGE_CODES = {"DATA_LOSS", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE"}
"""Codes of tensorstore that mean that the checkpoint is damaged; others may pass."""

_HEADER_REQUESTS = 16
"""Headers of files that are requested at the same time."""


class RemoteCheckpointStore(CheckpointStore):
    """A checkpoint of Orbax or T5X in a bucket or on a web server; see `CheckpointStore`.

    Opening requests the small files that hold the names, and a read only the chunks of arrays that this process needs.
    That the checkpoint was replaced meanwhile is noticed by the checksums only.

    Args:
      path: the folder of the outline.
      root: see `CheckpointStore`.
      item: see `CheckpointStore`.
      step: see `CheckpointStore`.
      outline: the names of the remote objects.
      verify: see `CheckpointStore`; with ``"files"`` all files are requested at opening.
      **options: see `CheckpointStore`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        item: str | None = None,
        step: float | None = None,
        *,
        outline: Outline,
        verify: Verify = True,
        **options: Unpack[ReadOptions],
    ) -> None:
        self._is_complete = verify == "files"
        self._own_outline = outline
        folder = find_tree(path, item=item, step=step)
        outline.fetch(self._wanted(folder))
        super().__init__(path, root, item, step, verify=verify, **options)

    def _wanted(self, folder: str) -> list[str]:
        """Return the objects whose contents are needed on this machine."""
        outline = self._own_outline
        names, inner = outline.names_below(folder), outline.name_of(folder)
        start = f"{inner}/" if inner else ""
        small = {start + name for name in _FETCHED_FILES}
        if not self._is_complete:
            described = f"{start}array_metadatas/"
            names = [name for name in names if name in small or name.startswith(described)]
        above = os.path.dirname(folder)
        top = (os.path.join(above, name) for name in (os.listdir(above) if inner else ()))
        return names + [
            outline.name_of(file)
            for file in filter(os.path.isfile, top)
            if self._is_complete or os.path.basename(file) == CHECKPOINT_METADATA
        ]

    def fetch_files(self) -> None:
        self._is_complete = True
        self._own_outline.fetch(self._wanted(self.folder))

    def shown(self, file: str) -> str:
        return file.replace(self._own_outline.folder, self._own_outline.remote.address)

    def _checked_files(self, verify: Verify) -> CheckedFiles:
        return "all" if self._is_complete else "names" if verify else "none"

    def _remote_arrays(self) -> RemoteFolder | None:
        if self._is_complete:
            return None
        return self._own_outline.remote.folder(
            self._own_outline.name_of(self._layout.arrays_folder)
        )

    def _damaged(self, leaf: Leaf, error: Any) -> StoreError:
        code, reason = failure_of(error.__cause__ or error)
        if self._is_complete or code in _DAMAGE_CODES or code == "UNKNOWN":
            return super()._damaged(leaf, error)
        return RemoteFailedError(self.path, "read", code, reason, leaf.names)


class RemoteSafetensorsStore(SafetensorsStore):
    """A safetensors file, or an index of parts, in a bucket or on a web server; see `SafetensorsStore`.

    Opening requests the headers, and a read of an array one range of bytes.

    Args:
      path: the file in the folder of the outline.
      root: see `SafetensorsStore`.
      outline: the remote objects; the files in it have their headers.
      **options: see `SafetensorsStore`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        *,
        outline: Outline,
        **options: Unpack[FlatOptions],
    ) -> None:
        self._own_outline = outline
        super().__init__(path, root, **options)

    def _array(self, name: str, names: tuple[str, ...]) -> FileArray:
        entry = super()._array(name, names)
        outline = self._own_outline
        file = outline.name_of(entry.file)
        return RemoteArray(file, entry.dtype, entry.shape, entry.offset, outline.remote, names)


def fetch_headers(outline: Outline, name: str) -> None:
    """Fill a safetensors file of an outline, or an index and its parts, with the headers.

    Raises:
      CheckpointNotFoundError: the object does not exist.
      RemoteFailedError: a request failed.
    """
    if not name.endswith(".json"):
        _fetch_header(outline, name)
        return
    outline.fetch([name])
    index = os.path.join(outline.folder, name)
    if not os.path.exists(index):
        raise CheckpointNotFoundError(outline.remote.of(name))
    parts = sorted({outline.name_of(file) for file in read_index(index).values()})
    with concurrent.futures.ThreadPoolExecutor(_HEADER_REQUESTS) as pool:
        list(pool.map(lambda part: _fetch_header(outline, part), parts))


def _fetch_header(outline: Outline, name: str) -> None:
    try:
        head = outline.remote.read_range(name, 0, 8)
        length = int.from_bytes(head, "little")
        is_header = length < 1 << 27
        raw = outline.remote.read_range(name, 8, 8 + length) if is_header else b""
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(outline.remote.of(name)) from error
    outline.write(name, head + raw, size=8 + length + _size_of_arrays(raw))


def _size_of_arrays(header: bytes) -> int:
    """Return the end of the last array. A damaged header is reported when the file is opened."""
    try:
        fields = json.loads(header)
        return max(
            (entry["data_offsets"][1] for entry in fields.values() if "data_offsets" in entry),
            default=0,
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return 0
