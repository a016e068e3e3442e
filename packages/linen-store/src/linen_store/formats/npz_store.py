"""A variable store over an ``.npz`` file of numpy."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from linen_store.errors import CheckpointNotFoundError, DamagedCheckpointError, NotACheckpointError
from linen_store.filesystem.failures import read_failure
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_names import KeyMap, Layout, check_layout, named_tree, place
from linen_store.formats.foreign import hint_for_zip
from linen_store.formats.npy_header import (
    NPY_ERRORS,
    SUFFIX,
    NpyHeader,
    flat_names,
    read_npy_header,
)
from linen_store.reading.file_store import LazyStore, ShardingLike
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf, Root

__all__ = ["NpzStore"]

_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *NPY_ERRORS)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_EXPANSION = 1032
"""No byte that is compressed by Deflate, as numpy's are, becomes more bytes than this."""


class NpzStore(LazyStore):
    """A read-only store over an ``.npz`` file, whose names are split at slashes.

    Opening reads headers only, a read the arrays that are asked for; their CRC-32 is always
    checked. Pickled objects are refused, never loaded, and so are the names of a PyTorch model,
    unless ``layout`` says that the arrays are those of the model.

    Args:
      path: the file.
      root: which part of the file holds the collections (see `CheckpointStore`).
      key_map: from each name in the file to that of the variable, as a mapping or a function: names as a tuple, or
        joined by "/"; None leaves the array out.
      layout: ``"model"`` where the arrays have the layout that the model wants, whoever wrote them.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the file holds pickled objects.
      DamagedCheckpointError: the file is damaged.
      TorchNamesError: the names are those of a PyTorch model.
      UnknownOptionError: ``layout`` is none of its values.
      RootNotFoundError: the file has no collections at ``root``.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/dense/bias": np.arange(2)})
      >>> NpzStore(path).get("params", ("dense", "bias"))
      array([0, 1])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        *,
        key_map: KeyMap = None,
        layout: Layout = None,
        dtype: Any = None,
        sharding: ShardingLike = None,
        unbox: bool = False,
        cache_bytes: int = 1 << 30,
    ) -> None:
        where = local_path(path)
        watched = {where: file_identity(where)}
        try:
            self._archive = zipfile.ZipFile(where)
            self._headers = {
                info.filename.removesuffix(SUFFIX): self._header(where, info)
                for info in self._archive.infolist()
            }
        except FileNotFoundError as error:
            raise CheckpointNotFoundError(where) from error
        except OSError as error:
            raise read_failure(where, where, error) from error
        except _ERRORS as error:
            if isinstance(error, NotACheckpointError | DamagedCheckpointError):
                raise
            raise DamagedCheckpointError(
                where, where, f"{type(error).__name__}: {error}"
            ) from error
        check_layout(where, flat_names(list(self._headers)), layout)
        tree, self._names = named_tree(where, self._headers, "/", key_map)
        super().__init__(
            where,
            tree,
            watched=watched,
            root=root,
            dtype=dtype,
            sharding=sharding,
            unbox=unbox,
            cache_bytes=cache_bytes,
        )

    _reads_parts = False

    def _header(self, where: str, info: zipfile.ZipInfo) -> NpyHeader:
        if not info.filename.endswith(SUFFIX):
            hint = hint_for_zip(info.filename)
            raise NotACheckpointError(where, f"a zip file with {info.filename!r} in it", hint)
        if (
            info.compress_type not in _METHODS
            or info.file_size > os.path.getsize(where) * _MOST_EXPANSION
        ):
            reason = f"{info.filename!r} cannot have {info.file_size:,} bytes, packed as it is"
            raise DamagedCheckpointError(where, where, reason)
        with self._archive.open(info) as stream:
            return read_npy_header(where, info.filename, stream, info.file_size)

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        headers = [self._headers[self._names[leaf.names]] for leaf in leaves]
        return [array_spec(one.shape, one.dtype.newbyteorder("=")) for one in headers]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        arrays = [self._array(leaf) for leaf in leaves]
        return place(list(zip(arrays, leaves, specs, strict=True)))

    def _array(self, leaf: Leaf) -> np.ndarray[Any, Any]:
        name = self._names[leaf.names]
        try:
            with self._archive.open(name + SUFFIX) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
        except (OSError, *_ERRORS) as error:
            raise read_failure(self.path, self.path, error, leaf.names) from error
        dtype = self._headers[name].dtype.newbyteorder("=")
        if array.dtype.kind == "V":
            return array.view(dtype)
        native: np.ndarray[Any, Any] = array.astype(dtype, copy=False)
        return native

    def close(self) -> None:
        """Let go of the file and the cache. Closing twice is fine."""
        super().close()
        self._archive.close()
