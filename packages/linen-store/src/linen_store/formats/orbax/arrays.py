"""Reads zarr arrays with tensorstore: first all metadata, then all opens, then all reads.

Importing this module imports tensorstore, so it is imported at the first read only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tensorstore as ts

from linen_store.filesystem.paths import plain_alias
from linen_store.filesystem.remote import RemoteFolder, seconds_for
from linen_store.formats.orbax.ocdbt import inline_values
from linen_store.reading.buffers import aligned_empty
from linen_store.reading.specs import array_spec

__all__ = ["ArrayFolder", "ArrayMetadata", "ArrayPart", "BadArrayError"]

_INDEX_BYTES = 1 << 26
"""Bytes of a database's index that are cached. Values are never cached here."""

_MANY = 300
"""From this number of arrays on, metadata is read in one pass over the database."""

_SHARED_BYTES = 1 << 19
"""The largest buffer that arrays share: one of them keeps all of it in memory."""


class BadArrayError(Exception):
    """An array cannot be read. The caller adds the leaf and the checkpoint."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class ArrayMetadata:
    """The content of an array's ``zarr.json`` or ``.zarray``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    spec: jax.ShapeDtypeStruct
    """The shape and dtype, for JAX."""

    opener: ts.Spec
    """Opens any array of the same metadata, without reading the metadata again."""


class ArrayPart(NamedTuple):
    """A region of an opened array."""

    number: int
    """The index for errors."""

    opened: Any
    metadata: ArrayMetadata
    slices: tuple[slice, ...] = ()
    """The region; the whole array by default."""

    def region(self) -> Any:
        """Return the region as a tensorstore view with its first element at the origin."""
        return self.opened[self.slices][ts.d[:].translate_to[0]] if self.slices else self.opened


class ArrayFolder:
    """The arrays below one folder, in an OCDBT database or in a folder each.

    Args:
      folder: the folder.
      ocdbt: True if the arrays are in an OCDBT database.
      zarr_format: 2 or 3.
      remote: the remote folder that has the arrays, in place of ``folder``.
    """

    def __init__(
        self, folder: str, *, ocdbt: bool, zarr_format: int, remote: RemoteFolder | None = None
    ) -> None:
        self._is_remote = remote is not None
        self._context = ts.Context(
            {
                **({"file_io_mode": {"mode": "memmap"}} if remote is None else remote.retries),
                "cache_pool": {"total_bytes_limit": 0},
                "cache_pool#index": {"total_bytes_limit": _INDEX_BYTES},
            }
        )
        if remote is None:
            alias = contextlib.ExitStack()
            weakref.finalize(self, alias.close)
            plain = alias.enter_context(plain_alias(os.path.abspath(folder)))
            base: dict[str, Any] = {"driver": "file", "path": os.path.join(plain, "")}
        else:
            base = remote.spec
        database = {"driver": "ocdbt", "base": base, "cache_pool": "cache_pool#index"}
        kvstore = database if ocdbt else base
        self._kvstore = ts.KvStore.open(kvstore, context=self._context).result()
        self._database = self._kvstore.base if ocdbt else None
        self._metadata_name = "zarr.json" if zarr_format == 3 else ".zarray"
        self._driver = "zarr3" if zarr_format == 3 else "zarr"
        # Most arrays of a model share their metadata with others: each distinct text is parsed once.
        self._parsed: dict[bytes, ArrayMetadata] = {}

    def metadata(self, names: Sequence[str]) -> list[ArrayMetadata]:
        """Read the metadata of several arrays.

        Raises:
          BadArrayError: an array does not exist, or its metadata is damaged.
        """
        files = [_key_prefix(name) + self._metadata_name for name in names]
        inline = self._inline_metadata() if len(files) >= _MANY else {}
        futures = {file: self._kvstore.read(file) for file in files if file not in inline}
        found = []
        for index, file in enumerate(files):
            if file in inline:
                raw = inline[file]
            else:
                try:
                    result = futures[file].result(timeout=self._seconds(0))
                except Exception as error:
                    raise BadArrayError(index, _reason(error)) from error
                if result.state != "value":
                    raise BadArrayError(index, f"its {self._metadata_name} is missing")
                raw = result.value
            found.append(self._parse(raw, index))
        return found

    def _inline_metadata(self) -> dict[str, bytes]:
        """Read the metadata of all arrays in one pass, or nothing if that fails."""
        if self._database is None:
            return {}
        try:
            return inline_values(self._database, self._metadata_name, self._context)
        except Exception:  # noqa: BLE001 - the names are then looked up one by one, and errors name the damaged one
            return {}

    def _parse(self, raw: bytes, index: int) -> ArrayMetadata:
        if raw not in self._parsed:
            try:
                fields = json.loads(raw)
                dtype = _dtype(fields["data_type"] if self._driver == "zarr3" else fields["dtype"])
                opener = ts.Spec(
                    {
                        "driver": self._driver,
                        "metadata": fields,
                        "assume_metadata": True,
                        # A checkpoint never changes: the index of the database is not requested again.
                        "recheck_cached_data": False,
                        "fill_missing_data_reads": False,
                    }
                )
                shape = tuple(fields["shape"])
                self._parsed[raw] = ArrayMetadata(shape, dtype, array_spec(shape, dtype), opener)
            except Exception as error:
                reason = f"its {self._metadata_name} is not valid: {_reason(error)}"
                raise BadArrayError(index, reason) from error
        return self._parsed[raw]

    def open(self, names: Sequence[str], metadata: Sequence[ArrayMetadata]) -> list[Any]:
        """Open several arrays at once, with metadata that was read before.

        Raises:
          BadArrayError: an array cannot be opened.
        """
        futures = [
            ts.open(one.opener, kvstore=self._kvstore / _key_prefix(name), context=self._context)
            for name, one in zip(names, metadata, strict=True)
        ]
        opened = []
        for index, future in enumerate(futures):
            try:
                opened.append(future.result(timeout=self._seconds(0)))
            except Exception as error:
                raise BadArrayError(index, _reason(error)) from error
        return opened

    def _seconds(self, size: int) -> float | None:
        """Return the seconds to wait for so many bytes; a local file system has no limit."""
        return seconds_for(size) if self._is_remote else None

    def read(
        self,
        parts: Sequence[ArrayPart],
        empty: Callable[[tuple[int, ...], Any], np.ndarray[Any, Any]] = aligned_empty,
    ) -> list[np.ndarray[Any, Any]]:
        """Read parts of opened arrays at once, into buffers that JAX uses without a copy.

        Args:
          parts: the parts.
          empty: a function that makes a buffer of a shape and a dtype.

        Raises:
          BadArrayError: data is missing or damaged.
        """
        regions = [part.region() for part in parts]
        buffers: dict[int, np.ndarray[Any, Any]] = {}
        reads: list[tuple[list[int], Any]] = []
        for members in _groups_of_one_shape(parts, regions):
            first = members[0]
            shape = (len(members), *regions[first].shape)
            shared = empty(shape, parts[first].metadata.dtype)
            target = ts.array(shared, context=self._context, write=True)
            reads.append((members, target.write(ts.stack([regions[i] for i in members]))))
            buffers.update((index, shared[row, ...]) for row, index in enumerate(members))
        failed: tuple[list[int], Exception] | None = None
        for members, future in reads:
            # Wait for every read, even after a failure: it must not write into a freed buffer.
            try:
                size = sum(buffers[index].nbytes for index in members)
                future.result(timeout=self._seconds(size))
            except TimeoutError as error:
                # The buffers live until the server answers.
                future.add_done_callback(functools.partial(_forget, buffers))
                raise BadArrayError(parts[members[0]].number, "no answer came") from error
            except Exception as error:  # noqa: BLE001 - raised below, once all have ended
                failed = failed or (members, error)
        if failed is not None:
            blamed, cause = _blamed(parts, regions, *failed)
            raise blamed from cause
        return [buffers[index] for index in range(len(parts))]


def _groups_of_one_shape(parts: Sequence[ArrayPart], regions: Sequence[Any]) -> Iterator[list[int]]:
    """Group small regions of the same shape and dtype: reading a group as one array takes half the time."""
    open_groups: dict[Any, list[int]] = {}
    for index, (part, region) in enumerate(zip(parts, regions, strict=True)):
        size = math.prod(region.shape) * part.metadata.dtype.itemsize
        kind = (region.shape, part.metadata.dtype)
        group = open_groups.setdefault(kind, [])
        group.append(index)
        if len(group) * max(size, 1) >= _SHARED_BYTES:
            yield open_groups.pop(kind)
    yield from open_groups.values()


def _forget(_buffers: object, _future: object) -> None:
    """Release buffers, which a pending call of this function keeps."""


def _blamed(
    parts: Sequence[ArrayPart], regions: Sequence[Any], members: list[int], error: Exception
) -> tuple[BadArrayError, Exception]:
    """Return the error of the damaged region among several that were read as one, and its cause."""
    for index in members:
        try:
            regions[index].read().result()
        except Exception as its_own:  # noqa: BLE001 - returned
            return BadArrayError(parts[index].number, _reason(its_own)), its_own
    return BadArrayError(parts[members[0]].number, _reason(error)), error


def _key_prefix(name: str) -> str:
    return f"{name}/" if name else ""


def _dtype(name: str) -> np.dtype[Any]:
    """Read the dtype of either zarr format: ``bfloat16``, ``float32``, ``<f4``."""
    return np.dtype(name) if name[:1] in "<>|" else np.dtype(jnp.dtype(name))


def _reason(error: BaseException) -> str:
    """Shorten an error of tensorstore to its first sentence; the rest repeats the whole spec."""
    text = str(error).split(" [tensorstore_spec=")[0].split(" [source locations=")[0]
    return " ".join(text.split())[:300] or type(error).__name__
