"""Folders of ``.npy`` files of numpy: recognised and opened."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import ClassVar, Unpack

from linen_store.errors import CheckpointNotFoundError, NotACheckpointError
from linen_store.filesystem.failures import listed, read_errors
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_store import FlatStore
from linen_store.formats.npy_header import NPY_ERRORS, SUFFIX, NpyHeader, read_npy_header
from linen_store.formats.orbax.layout import holds_orbax, holds_steps
from linen_store.reading.device import HostArray
from linen_store.reading.file_array import FileArray
from linen_store.reading.options import FlatOptions, Root

__all__ = ["NpyFolderStore"]

_MOST_FOLDERS = 1_000
"""Folders that are searched for a file of numpy. Without a limit, a large disk would be searched."""


class NpyFolderStore(FlatStore):
    """A read-only store over a folder of ``.npy`` files: their paths are the names of the arrays.

    The file ``params/dense/bias.npy`` is the variable ``bias`` of ``dense`` in ``params``. Opening reads headers only,
    a read of an array only the parts that devices of this process need. Pickled objects are refused, never loaded. The
    format has no checksums.

    Args:
      path: the folder.
      root: the part of the folder that holds the collections (see `CheckpointStore`).
      **options: ``key_map``, ``layout``, ``dtype``, ``sharding``, ``unbox`` and ``cache_bytes``, as for `open_store`.
        ``key_map`` maps each path in the folder, with slashes and without ``.npy``.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the folder has no such file, or one holds pickled objects.
      DamagedCheckpointError: a file is damaged.
      TorchNamesError: the names are those of a PyTorch model.
      UnknownOptionError: ``layout`` is not one of its values.
      RootNotFoundError: the folder has no collections at ``root``.

    Example:
      >>> import tempfile, numpy as np
      >>> folder = os.path.join(tempfile.mkdtemp(), "model")
      >>> os.makedirs(os.path.join(folder, "params"))
      >>> np.save(os.path.join(folder, "params", "bias.npy"), np.arange(2))
      >>> NpyFolderStore(folder).get("params", ("bias",))
      array([0, 1])
    """

    suffixes: ClassVar = ()

    def __init__(
        self, path: str | os.PathLike[str], root: Root = None, **options: Unpack[FlatOptions]
    ) -> None:
        where = local_path(path)
        self._files = {_name(where, file): file for file in sorted(_npy_files(os.walk(where)))}
        if not self._files:
            _refuse(where)
        watched = {file: file_identity(file) for file in self._files.values()}
        headers = {name: _read_header(where, file) for name, file in self._files.items()}
        super().__init__(where, headers, watched, root, **options)

    @classmethod
    def recognizes(cls, path: str) -> bool:
        """Return whether a folder, or one not far below it, has ``.npy`` files and no Orbax checkpoint."""
        where = local_path(path)
        if not os.path.isdir(where):
            return False
        names = listed(where)
        if holds_orbax(where, names) or holds_steps(where, names):
            return False
        return any(_npy_files(itertools.islice(os.walk(where), _MOST_FOLDERS)))

    def _array(self, name: str, names: tuple[str, ...]) -> HostArray:
        header: NpyHeader = self._arrays[name]
        shape = header.shape[::-1] if header.fortran_order else header.shape
        array = FileArray(self._files[name], header.dtype, shape, header.offset)
        if not header.fortran_order and header.dtype.isnative:
            return array
        whole = array.read()
        return whole.T if header.fortran_order else whole


def _npy_files(walked: Iterable[tuple[str, list[str], list[str]]]) -> Iterator[str]:
    for parent, _, names in walked:
        yield from (os.path.join(parent, name) for name in names if name.endswith(SUFFIX))


def _name(folder: str, file: str) -> str:
    return os.path.relpath(file, folder).removesuffix(SUFFIX).replace(os.sep, "/")


def _read_header(where: str, file: str) -> NpyHeader:
    with read_errors(where, file, NPY_ERRORS), open(file, "rb") as stream:
        return read_npy_header(where, os.path.basename(file), stream, os.path.getsize(file))


def _refuse(where: str) -> None:
    if not os.path.lexists(where):
        raise CheckpointNotFoundError(where)
    found = "a folder without any file of numpy" if os.path.isdir(where) else "a file"
    raise NotACheckpointError(where, found, "Pass the path of a folder with `.npy` files in it.")
