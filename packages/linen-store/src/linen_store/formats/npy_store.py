"""A variable store over a folder of ``.npy`` files of numpy."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from linen_store.errors import CheckpointNotFoundError, DamagedCheckpointError, NotACheckpointError
from linen_store.filesystem.failures import read_failure
from linen_store.filesystem.paths import file_identity, local_path
from linen_store.formats.flat_names import KeyMap, Layout, check_layout, named_tree, place
from linen_store.formats.npy_header import (
    NPY_ERRORS,
    SUFFIX,
    NpyHeader,
    flat_names,
    read_npy_header,
)
from linen_store.reading.file_array import FileArray
from linen_store.reading.file_store import LazyStore, ShardingLike
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf, Root

__all__ = ["NpyFolderStore", "holds_npy"]

_MOST_FOLDERS = 1_000
"""How many folders are looked at for a file of numpy."""


class NpyFolderStore(LazyStore):
    """A read-only store over a folder of ``.npy`` files: their paths are the names of the arrays.

    The file ``params/dense/bias.npy`` is the variable ``bias`` of ``dense`` in ``params``. Opening
    reads headers only, a read of an array only the parts that devices of this process need. Pickled
    objects are refused, never loaded. The format has no checksums.

    Args:
      path: the folder.
      root: which part of the folder holds the collections (see `CheckpointStore`).
      key_map: from each path in the folder, without its ending and with slashes, to the names of
        the variable, as a mapping or a function; to None for arrays that are left out.
      layout: ``"model"`` where the arrays have the layout that the model wants, whoever wrote them.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: there is no such file in the folder, or one holds pickled objects.
      DamagedCheckpointError: a file is damaged.
      TorchNamesError: the names are those of a PyTorch model.
      UnknownOptionError: ``layout`` is none of its values.
      RootNotFoundError: the folder has no collections at ``root``.

    Example:
      >>> import tempfile
      >>> folder = os.path.join(tempfile.mkdtemp(), "model")
      >>> os.makedirs(os.path.join(folder, "params"))
      >>> np.save(os.path.join(folder, "params", "bias.npy"), np.arange(2))
      >>> NpyFolderStore(folder).get("params", ("bias",))
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
        files = {_name(where, file): file for file in sorted(_npy_files(os.walk(where)))}
        if not files:
            _refuse(where)
        watched = {file: file_identity(file) for file in files.values()}
        self._headers = {name: _read_header(where, file) for name, file in files.items()}
        self._files = files
        check_layout(where, flat_names(list(files)), layout)
        tree, self._names = named_tree(where, files, "/", key_map)
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

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        headers = [self._headers[self._names[leaf.names]] for leaf in leaves]
        return [array_spec(one.shape, one.dtype.newbyteorder("=")) for one in headers]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        try:
            return place(
                [(self._array(leaf), leaf, spec) for leaf, spec in zip(leaves, specs, strict=True)]
            )
        except (OSError, EOFError) as error:
            file = getattr(error, "filename", None) or self.path
            raise read_failure(self.path, file, error) from error

    def _array(self, leaf: Leaf) -> np.ndarray[Any, Any] | FileArray:
        name = self._names[leaf.names]
        header = self._headers[name]
        shape = header.shape[::-1] if header.fortran_order else header.shape
        array = FileArray(self._files[name], header.dtype, shape, header.offset)
        if not header.fortran_order and header.dtype.isnative:
            return array
        whole = array.read()
        return whole.T if header.fortran_order else whole


def holds_npy(folder: str) -> bool:
    """Return whether there are ``.npy`` files in a folder, or not far below it."""
    return any(_npy_files(itertools.islice(os.walk(folder), _MOST_FOLDERS)))


def _npy_files(walked: Iterable[tuple[str, list[str], list[str]]]) -> Iterator[str]:
    for parent, _, names in walked:
        yield from (os.path.join(parent, name) for name in names if name.endswith(SUFFIX))


def _name(folder: str, file: str) -> str:
    return os.path.relpath(file, folder).removesuffix(SUFFIX).replace(os.sep, "/")


def _read_header(where: str, file: str) -> NpyHeader:
    try:
        with open(file, "rb") as stream:
            return read_npy_header(where, os.path.basename(file), stream, os.path.getsize(file))
    except OSError as error:
        raise read_failure(where, file, error) from error
    except NPY_ERRORS as error:
        if isinstance(error, NotACheckpointError | DamagedCheckpointError):
            raise
        raise DamagedCheckpointError(where, file, f"{type(error).__name__}: {error}") from error


def _refuse(where: str) -> None:
    if not os.path.lexists(where):
        raise CheckpointNotFoundError(where)
    found = "a folder without any file of numpy" if os.path.isdir(where) else "a file"
    raise NotACheckpointError(where, found, "Pass the path of a folder with `.npy` files in it.")
