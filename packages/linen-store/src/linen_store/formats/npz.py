"""``.npz`` files of numpy: recognised, opened and written."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import Any, ClassVar, Unpack

import jax.numpy as jnp
import numpy as np

from linen_store.errors import (
    DamagedCheckpointError,
    NotACheckpointError,
    UnsupportedLeafError,
)
from linen_store.filesystem.failures import first_bytes, read_errors
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_store import FlatStore
from linen_store.formats.foreign import hint_for_zip
from linen_store.formats.npy_header import NPY_ERRORS, SUFFIX, NpyHeader, read_npy_header
from linen_store.formats.writing import WriteJob, dtype_text, host_array, named_arrays
from linen_store.reading.options import FlatOptions, Root
from linen_store.reading.specs import is_array_spec
from linen_store.reading.stored import arrays_of

__all__ = ["NpzStore"]

_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of a zip file; the second if it is empty."""

_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, *NPY_ERRORS)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_EXPANSION = 1032
"""The highest compression ratio of Deflate, which numpy uses."""


class NpzStore(FlatStore):
    """A read-only store over an ``.npz`` file, whose names are split at slashes.

    Opening reads headers only, and a read only the arrays in question; their CRC-32 is always checked. Pickled objects
    are refused, never loaded, and so are the names of a PyTorch model, unless ``layout`` is given.

    Args:
      path: the file.
      root: the part of the file that holds the collections (see `CheckpointStore`).
      **options: ``key_map``, ``layout``, ``dtype``, ``sharding``, ``unbox`` and ``cache_bytes``, as for `open_store`.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the file holds pickled objects.
      DamagedCheckpointError: the file is damaged.
      TorchNamesError: the names are those of a PyTorch model.
      UnknownOptionError: ``layout`` is not one of its values.
      RootNotFoundError: the file has no collections at ``root``.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/dense/bias": np.arange(2)})
      >>> NpzStore(path).get("params", ("dense", "bias"))
      array([0, 1])
    """

    suffixes: ClassVar = (".npz",)
    compressible: ClassVar = True
    _reads_parts = False

    def __init__(
        self, path: str | os.PathLike[str], root: Root = None, **options: Unpack[FlatOptions]
    ) -> None:
        where = local_path(path)
        watched = {where: file_identity(where)}
        with read_errors(where, damage=_ERRORS):
            self._archive = zipfile.ZipFile(where)
            headers = {
                info.filename.removesuffix(SUFFIX): self._header(where, info)
                for info in self._archive.infolist()
            }
        super().__init__(where, headers, watched, root, **options)

    @classmethod
    def recognizes(cls, path: str) -> bool:
        """Return whether a file is a zip file."""
        return first_bytes(path).startswith(_MAGIC)

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

    def _array(self, name: str, names: tuple[str, ...]) -> np.ndarray[Any, Any]:
        with (
            read_errors(self.path, self.path, _ERRORS, names),
            self._archive.open(name + SUFFIX) as stream,
        ):
            array = np.lib.format.read_array(stream, allow_pickle=False)
        dtype = self._arrays[name].dtype.newbyteorder("=")
        if array.dtype.kind == "V":
            return array.view(dtype)
        native: np.ndarray[Any, Any] = array.astype(dtype, copy=False)
        return native

    def close(self) -> None:
        """Release the file and the cache. Closing twice is fine."""
        super().close()
        self._archive.close()

    @staticmethod
    def write_store(job: WriteJob) -> None:
        """Write an ``.npz`` file, names joined by slashes.

        Raises:
          DottedNameError: a name has a slash in it.
          UnsupportedLeafError: ``.npz`` cannot hold a value.
        """
        method = zipfile.ZIP_DEFLATED if job.compression else zipfile.ZIP_STORED
        named = list(named_arrays(job.target, arrays_of(job.store, nones=True), "npz", "/"))
        for _, one in named:
            if not is_array_spec(one.spec) or not _is_numpy_dtype(one.spec.dtype):
                raise UnsupportedLeafError(job.target, one.names, dtype_text(one.spec), "npz")
        with zipfile.ZipFile(job.stream, "w", method) as archive:
            for name, one in named:
                array = host_array(job, one)
                with archive.open(name + SUFFIX, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
                job.report(array.nbytes)


def _is_numpy_dtype(dtype: Any) -> bool:
    """Return whether the dtype can be read back; numpy does not name bfloat16, but `NpzStore` recognises it."""
    if not isinstance(dtype, np.dtype):
        return False
    is_jax_only = dtype.isbuiltin == 2
    return dtype == jnp.bfloat16 or (dtype.kind in "biufc" and not is_jax_only)
