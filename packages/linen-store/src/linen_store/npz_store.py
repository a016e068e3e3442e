"""A variable store over an ``.npz`` file of numpy."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from linen_store._files import KeyMap, named_tree, place
from linen_store._paths import file_identity, local_path
from linen_store._specs import array_spec
from linen_store._tree import Leaf, Root
from linen_store.errors import (
    CheckpointNotFoundError,
    CheckpointReplacedError,
    DamagedCheckpointError,
    NotACheckpointError,
)
from linen_store.lazy_store import LazyStore, ShardingLike

__all__ = ["NpzStore"]

_BFLOAT16 = np.dtype(jnp.bfloat16)
_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
_SUFFIX = ".npy"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_EXPANSION = 1032
"""No byte that is compressed by Deflate, as numpy's are, becomes more bytes than this."""


class NpzStore(LazyStore):
    """A read-only store over an ``.npz`` file, whose names are split at slashes.

    Opening reads headers only, a read the arrays that are asked for; their CRC-32 is checked.
    Pickled objects are refused, never loaded.

    Args:
      path: the file.
      root: which part of the file holds the collections (see `CheckpointStore`).
      key_map: from each name in the file to the names of the variable, as a mapping or a function;
        to None for arrays that are left out.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the file holds pickled objects.
      DamagedCheckpointError: the file is damaged.
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
        dtype: Any = None,
        sharding: ShardingLike = None,
        cache_bytes: int = 1 << 30,
    ) -> None:
        where = local_path(path)
        try:
            self._archive = zipfile.ZipFile(where)
            self._file_identity = file_identity(where)
            self._headers = {
                info.filename.removesuffix(_SUFFIX): self._header(where, info)
                for info in self._archive.infolist()
            }
        except FileNotFoundError as error:
            raise CheckpointNotFoundError(where) from error
        except OSError as error:
            raise DamagedCheckpointError(where, where, error.strerror or str(error)) from error
        except _ERRORS as error:
            if isinstance(error, NotACheckpointError | DamagedCheckpointError):
                raise
            raise DamagedCheckpointError(
                where, where, f"{type(error).__name__}: {error}"
            ) from error
        tree, self._names = named_tree(where, self._headers, "/", key_map)
        super().__init__(
            where, tree, root=root, dtype=dtype, sharding=sharding, cache_bytes=cache_bytes
        )

    def _header(self, where: str, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any]]:
        if not info.filename.endswith(_SUFFIX):
            hint = "An .npz holds files of numpy alone; the file may be one of PyTorch."
            raise NotACheckpointError(where, f"a zip file with {info.filename!r} in it", hint)
        if (
            info.compress_type not in _METHODS
            or info.file_size > os.path.getsize(where) * _MOST_EXPANSION
        ):
            reason = f"{info.filename!r} cannot have {info.file_size:,} bytes, packed as it is"
            raise DamagedCheckpointError(where, where, reason)
        with self._archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            read: Any = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(stream)
            start = stream.tell()
        if dtype.hasobject:
            hint = "Loading them would run code. Save plain arrays instead."
            raise NotACheckpointError(where, f"pickled objects in {info.filename!r}", hint)
        if dtype.kind == "V" and dtype.itemsize == _BFLOAT16.itemsize and dtype.names is None:
            dtype = _BFLOAT16  # numpy does not know its name, and writes two bytes of anything
        if dtype.kind not in "biufcV" or (dtype.kind == "V" and dtype != _BFLOAT16):
            raise NotACheckpointError(where, f"an array of {dtype}", "Save arrays of numbers.")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != info.file_size - start:
            reason = f"{info.filename!r} does not have the size of {dtype}{shape}"
            raise DamagedCheckpointError(where, where, reason)
        return shape, dtype.newbyteorder("=")

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        return [array_spec(*self._headers[self._names[leaf.names]]) for leaf in leaves]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        self._check_same()
        arrays = [self._load(leaf) for leaf in leaves]
        return place(list(zip(arrays, leaves, specs, strict=True)))

    def _load(self, leaf: Leaf) -> np.ndarray[Any, Any]:
        name = self._names[leaf.names]
        try:
            with self._archive.open(name + _SUFFIX) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
        except (OSError, *_ERRORS) as error:
            self._check_same()
            reason = f"{type(error).__name__}: {error}"
            raise DamagedCheckpointError(self.path, self.path, reason, leaf.names) from error
        dtype = self._headers[name][1]
        if array.dtype.kind == "V":
            return array.view(dtype)
        native: np.ndarray[Any, Any] = array.astype(dtype, copy=False)
        return native

    def _check_same(self) -> None:
        if file_identity(self.path) != self._file_identity:
            raise CheckpointReplacedError(self.path)

    def close(self) -> None:
        """Let go of the file and the cache. Closing twice is fine."""
        super().close()
        self._archive.close()
