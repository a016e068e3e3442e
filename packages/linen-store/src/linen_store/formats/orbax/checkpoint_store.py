"""A variable store over an Orbax checkpoint."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from linen_core.errors import StoreError
from linen_store.errors import (
    CheckpointReplacedError,
    ChecksumError,
    DamagedCheckpointError,
    ReadFailedError,
)
from linen_store.filesystem.failures import exists, first_bytes, listed, read_failure
from linen_store.filesystem.paths import file_identity, local_path, opened_whole
from linen_store.filesystem.remote import RemoteFolder
from linen_store.formats.msgpack_tree import is_msgpack
from linen_store.formats.orbax.aggregate import AGGREGATE
from linen_store.formats.orbax.checksums import (
    FILE_NAME,
    Checksums,
    announces_checksums,
    crc32,
    damaged_files,
    damaged_top_files,
    missing_files,
)
from linen_store.formats.orbax.chunks import Chunk, whole
from linen_store.formats.orbax.layout import (
    OrbaxTree,
    find_tree,
    is_checkpoint,
    is_tree,
    load_partitions,
    load_tree,
    names_file,
)
from linen_store.reading.device import place, value_spec
from linen_store.reading.file_store import LazyStore
from linen_store.reading.options import ReadOptions, Root, Verify, check_choice
from linen_store.reading.specs import array_spec, render_spec
from linen_store.reading.tree import Leaf, change_leaves, mark_integers

if TYPE_CHECKING:
    from linen_store.formats.orbax.arrays import ArrayFolder, ArrayMetadata, BadArrayError

__all__ = ["CheckedFiles", "CheckpointStore"]

_STRINGS = "_strings.json"
_SMALL_FILES = ("_METADATA", "array_metadatas", "_sharding")
"""Files, or folders of files, that describe arrays: they are checked whenever they are read."""


class CheckpointStore(LazyStore):
    """A read-only store over a checkpoint that `save`, Orbax v0, Orbax v1 or T5X wrote.

    Opening reads names only. Shapes are read on demand, and `read` is one batch of concurrent reads. A bounded cache
    keeps the values. Arrays come back as jax arrays, numpy arrays as numpy arrays, PRNG keys as keys, numbers, strings
    and None as themselves; a stored tuple, list or named tuple comes back as a tuple. Names of nodes are strings;
    `snapshot` restores integer keys if `save` recorded them, which Orbax itself does not.

    Args:
      path: a checkpoint, one of its items, or a folder of checkpoints by step.
      root: the part of the checkpoint that holds the collections: None for the whole, a name or names that lead to it,
        or for each collection the names that lead to it; ``{"params": ()}`` opens a checkpoint of bare parameters.
      item: the item of a checkpoint that has several; ``"default"`` if there is one of this name, as Orbax's
        `CheckpointManager` calls the item of a step that is saved as a whole.
      step: the step of a folder of checkpoints; the newest by default.
      verify: check the CRC-32 of each leaf that is read whole (if `linen_store.save` stored them), or with ``"files"``
        every file at opening.
      **options: ``dtype``, ``sharding``, ``unbox`` and ``cache_bytes``, as for `open_store`. A function for
        ``sharding`` takes a leaf's names in the file and its `jax.ShapeDtypeStruct`, and returns a sharding or None.
        Of each array only the parts are read that the devices of this process need. With ``unbox``, a node that
        holds nothing but an array named ``value`` is that array: boxes such as `linen_core.Partitioned` are stored in
        this form. `restore` recognises them without the option.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the file or folder is not an Orbax checkpoint.
      UnfinishedCheckpointError: the checkpoint was not finished.
      AmbiguousCheckpointError: ``item`` or ``step`` is needed, or does not exist.
      DamagedCheckpointError: a file is damaged, as far as opening can tell.
      ReadFailedError: the system refuses to read a file (`ReadPermissionError`, for example).
      RootNotFoundError: the checkpoint has no collections at ``root``.
      UnknownOptionError: ``verify`` is not one of its values.

    Example:
      >>> import tempfile, os, numpy as np, linen_store
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> linen_store.save(path, {"params": {"bias": np.arange(3.0), "kernel": np.ones((2, 3))}})
      >>> store = CheckpointStore(path)
      >>> store.spec("params", ("kernel",)).shape
      (2, 3)
      >>> store.get("params", ("bias",))
      array([0., 1., 2.])
      >>> store.stats
      StoreStats(leaves=1, bytes=24, hits=0)
    """

    suffixes: ClassVar = ()
    fallback: ClassVar = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        item: str | None = None,
        step: float | None = None,
        *,
        verify: Verify = True,
        **options: Unpack[ReadOptions],
    ) -> None:
        check_choice("verify", verify, (True, False, "files"))
        where = local_path(path)
        if _is_aggregate_file(where):
            where = os.path.dirname(os.path.abspath(where))
        checked = self._checked_files(verify)
        self._folder, watched, found, recorded = opened_whole(
            where, lambda: _open_tree(where, item, step, checked)
        )
        self._layout = found
        self._checksums = recorded if verify else None
        self._recorded = {} if recorded is None else recorded.arrays
        self._key_impls = found.key_impls | ({} if recorded is None else recorded.keys)
        self._arrays: ArrayFolder | None = None
        self._array_specs: dict[tuple[tuple[int, ...], str], jax.ShapeDtypeStruct] = {}
        self._metadata: dict[tuple[str, ...], ArrayMetadata] = {}
        self._strings: dict[str, str] | None = None
        self._partitions: dict[str, list[Any]] | None = None
        tree = mark_integers(found.tree, () if recorded is None else set(recorded.integers))
        self._hosted = set(() if recorded is None else recorded.hosted)
        if self._hosted or any(0 in shape for shape, _, _ in self._recorded.values()):
            tree = change_leaves(self._restored_kind, tree)
        super().__init__(where, tree, watched=watched, root=root, **options)

    def _checked_files(self, verify: Verify) -> CheckedFiles:
        """Return what is checked of the files at opening."""
        return "all" if verify == "files" else "sizes" if verify else "none"

    @classmethod
    def recognizes(cls, path: str) -> bool:
        """Return whether a folder, nothing, or the file ``checkpoint`` of early Orbax is at the path.

        The errors of the constructor tell unfinished checkpoints, which lie beside the path, from other folders.
        """
        where = local_path(path)
        return os.path.isdir(where) or not exists(where) or _is_aggregate_file(where)

    @property
    def folder(self) -> str:
        """The folder of the tree: ``path``, or the chosen step and item in it."""
        return self._folder

    def saved_partition(self, collection: str, path: tuple[str, ...]) -> Sequence[Any] | None:
        """Return the mesh axes that an array was split over when it was saved; None if it was on one device.

        Args:
          collection: the collection.
          path: the path of the array.
        """
        node = self._find(collection, path)
        if not isinstance(node, Leaf):
            return None
        if self._partitions is None:
            self._partitions = load_partitions(self._folder)
        return self._partitions.get(node.joined)

    def fetch_files(self) -> None:
        """Copy all files to `folder`, if they are not on this machine."""

    def shown(self, file: str) -> str:
        """Return the path or address that a file in `folder` has for users."""
        return file

    def other_items(self) -> list[str]:
        """List the other items of the checkpoint."""
        parent, own = os.path.split(os.path.abspath(self._folder))
        if not is_checkpoint(parent):
            return []
        return [
            name for name in listed(parent) if name != own and is_tree(os.path.join(parent, name))
        ]

    def _is_empty_leaf(self, joined: str) -> bool:
        """Return whether a leaf is an array without elements, which Orbax stores as None."""
        return joined in self._recorded and 0 in self._recorded[joined][0]

    def _restored_kind(self, leaf: Leaf) -> Leaf:
        if leaf.joined in self._hosted or self._is_empty_leaf(leaf.joined):
            return Leaf(leaf.names, self._recorded[leaf.joined][2])
        return leaf

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        stored = [leaf for leaf in leaves if self._is_stored_array(leaf)]
        self._load_metadata([leaf for leaf in stored if leaf.joined not in self._recorded])
        return [self._stored_spec(leaf) for leaf in leaves]

    def _is_stored_array(self, leaf: Leaf) -> bool:
        is_array = leaf.kind in ("array", "numpy", "scalar")
        return (
            is_array
            and leaf.names not in self._layout.values
            and not self._is_empty_leaf(leaf.joined)
        )

    def _load_metadata(self, leaves: Sequence[Leaf]) -> None:
        leaves = [leaf for leaf in leaves if leaf.names not in self._metadata]
        if not leaves:
            return
        from linen_store.formats.orbax.arrays import BadArrayError

        try:
            found = self._opened_arrays().metadata([leaf.joined for leaf in leaves])
        except BadArrayError as error:
            raise self._damaged(leaves[error.index], error) from error
        self._check_same()
        self._metadata.update(zip((leaf.names for leaf in leaves), found, strict=True))

    def _opened_arrays(self) -> ArrayFolder:
        from linen_store.formats.orbax.arrays import ArrayFolder

        if self._arrays is None:
            self._arrays = ArrayFolder(
                self._layout.arrays_folder,
                ocdbt=self._layout.ocdbt,
                zarr_format=self._layout.zarr_format,
                remote=self._remote_arrays(),
            )
        return self._arrays

    def _remote_arrays(self) -> RemoteFolder | None:
        """Return the remote folder of the arrays, if they are not on this machine."""
        return None

    def _stored_spec(self, leaf: Leaf) -> Any:
        if leaf.names in self._layout.values:
            return value_spec(self._layout.values[leaf.names])
        if leaf.kind == "none":
            return None
        if leaf.kind == "string":
            return self._string(leaf)
        spec = self._array_spec_of(leaf)
        impl = self._key_impls.get(leaf.joined)
        if impl is not None:
            return jax.eval_shape(lambda raw: jax.random.wrap_key_data(raw, impl=impl), spec)
        return spec

    def _array_spec_of(self, leaf: Leaf) -> jax.ShapeDtypeStruct:
        if leaf.joined not in self._recorded:
            return self._metadata[leaf.names].spec
        shape, dtype, _ = self._recorded[leaf.joined]
        # Most arrays of a model share their shape and dtype with others: each pair is described once.
        key = tuple(shape), dtype
        if key not in self._array_specs:
            self._array_specs[key] = array_spec(shape, jnp.dtype(dtype))
        return self._array_specs[key]

    def _string(self, leaf: Leaf) -> str:
        file = os.path.join(self._folder, _STRINGS)
        try:
            if self._strings is None:
                self._strings = json.loads(self._checked_bytes(file, leaf))
            return str(self._strings[leaf.joined])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, StoreError):
                raise
            self._check_same()
            raise read_failure(self.path, file, error, leaf.names) from error

    def _checked_bytes(self, file: str, leaf: Leaf) -> bytes:
        with open(file, "rb") as stream:
            raw = stream.read()
        self._check_same()
        name = os.path.basename(file)
        files = {} if self._checksums is None else self._checksums.files
        if name in files and files[name] != (len(raw), crc32(raw)):
            raise ChecksumError(self.path, file, "its CRC-32 differs", leaf.names)
        return raw

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        stored = [
            (leaf, spec)
            for leaf, spec in zip(leaves, specs, strict=True)
            if self._is_stored_array(leaf)
        ]
        loaded = iter(self._load_arrays(stored) if stored else ())
        return [
            next(loaded) if self._is_stored_array(leaf) else self._unstored(leaf, spec)
            for leaf, spec in zip(leaves, specs, strict=True)
        ]

    def _unstored(self, leaf: Leaf, spec: Any) -> Any:
        if leaf.names in self._layout.values:
            value = self._layout.values[leaf.names]
            return place([(value, leaf, spec)])[0] if isinstance(value, np.ndarray) else value
        if not isinstance(spec, jax.ShapeDtypeStruct):
            return spec
        if leaf.kind == "numpy":
            return np.empty(spec.shape, spec.dtype)
        impl = self._key_impls.get(leaf.joined)
        if impl is None:
            return jax.device_put(jnp.empty(spec.shape, spec.dtype), spec.sharding)
        data = self._array_spec_of(leaf)
        keys = jax.random.wrap_key_data(jnp.empty(data.shape, data.dtype), impl=impl)
        return jax.device_put(keys, spec.sharding)

    def _load_arrays(self, wanted: Sequence[tuple[Leaf, Any]]) -> list[Any]:
        from linen_store.formats.orbax.arrays import BadArrayError
        from linen_store.formats.orbax.batch import Wanted, read_batch

        leaves = [leaf for leaf, _ in wanted]
        self._load_metadata(leaves)
        for leaf in leaves:
            self._check_metadata(leaf)
        requests = [
            Wanted(
                name=leaf.joined,
                kind=leaf.kind,
                metadata=self._metadata[leaf.names],
                spec=spec,
                key_impl=self._key_impls.get(leaf.joined),
                chunks=self._chunks(leaf),
            )
            for leaf, spec in wanted
        ]
        try:
            return read_batch(self._opened_arrays(), requests)
        except BadArrayError as error:
            raise self._damaged(leaves[error.index], error) from error

    def _chunks(self, leaf: Leaf) -> list[Chunk]:
        if self._checksums is None:
            return []
        crc = self._checksums.leaves.get(leaf.joined)
        if crc is not None:
            return [Chunk(whole(self._metadata[leaf.names].shape), crc)]
        return [Chunk(*chunk) for chunk in self._checksums.chunks.get(leaf.joined, ())]

    def _check_metadata(self, leaf: Leaf) -> None:
        found, saved = self._metadata[leaf.names].spec, self._array_spec_of(leaf)
        if found is not saved and (found.shape, found.dtype) != (saved.shape, saved.dtype):
            reason = f"it is {render_spec(found)}, {render_spec(saved)} was saved"
            raise DamagedCheckpointError(self.path, self._folder, reason, leaf.names)

    def _damaged(self, leaf: Leaf, error: BadArrayError) -> StoreError:
        """Return the error for an array that cannot be read, with the file whose damage explains it.

        Raises:
          CheckpointReplacedError: another checkpoint is there.
        """
        self._check_same()
        failure = read_failure(self.path, self._folder, error, leaf.names)
        if isinstance(failure, ReadFailedError):
            return failure
        file, reason = self._folder, error.reason
        if self._checksums is not None:
            file, reason = next(damaged_files(self._folder, self._checksums), (file, reason))
        kind = ChecksumError if "CRC-32" in reason else DamagedCheckpointError
        return kind(self.path, file, reason, leaf.names)


CheckedFiles: TypeAlias = Literal["all", "sizes", "names", "none"]
"""The files that are checked at opening. Except for "none", those that describe arrays are checked completely."""


def _open_tree(
    path: str, item: str | None, step: float | None, checked: CheckedFiles
) -> tuple[str, dict[str, Any], OrbaxTree, Checksums | None]:
    """Return the folder, the file of names with its identity, the names, and the checksums."""
    folder = find_tree(path, item=item, step=step)
    # This identity changes when another checkpoint replaces this one. That of the folder is not enough: a system may
    # give a new folder the number of one just removed.
    names = names_file(folder)
    identity = file_identity(names)
    with _collector_paused():
        layout = load_tree(folder)
        recorded = Checksums.load(folder)
    if checked != "none":
        _check_files(folder, recorded, checked)
    if file_identity(names) != identity:
        raise CheckpointReplacedError(path)
    return folder, {names: identity}, layout, recorded


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's garbage collector: searching a growing tree for garbage takes longer than building it."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _is_aggregate_file(path: str) -> bool:
    is_named = os.path.basename(path) == AGGREGATE and os.path.isfile(path)
    return is_named and is_msgpack(first_bytes(path))


def _check_files(folder: str, checksums: Checksums | None, checked: CheckedFiles) -> None:
    if checksums is None:
        if announces_checksums(folder):
            file = os.path.join(folder, FILE_NAME)
            raise DamagedCheckpointError(folder, file, "it is missing, and was written")
        return
    small = [name for name in checksums.files if name.split(os.sep)[0] in _SMALL_FILES]
    found = damaged_files(folder, checksums, names=small)
    if checked == "names":
        found = itertools.chain(missing_files(folder, checksums), found)
    else:
        files = damaged_files(folder, checksums, sizes_only=checked == "sizes")
        found = itertools.chain(damaged_top_files(folder, checksums), files, found)
    for file, reason in found:
        raise DamagedCheckpointError(folder, file, reason)
