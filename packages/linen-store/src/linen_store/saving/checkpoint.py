"""Saves variables as an Orbax checkpoint. Until it is complete, nothing changes at its path."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore
from linen_store.errors import (
    CheckpointExistsError,
    NameCollisionError,
    NotACheckpointError,
    SeveralProcessesError,
    UnencodableNameError,
    UnsupportedLeafError,
)
from linen_store.filesystem.atomic_replace import publish, staging_directory, sync_files
from linen_store.filesystem.failures import listed, save_failures
from linen_store.filesystem.paths import local_path, plain_alias
from linen_store.formats.orbax.checksums import (
    ANNOUNCEMENT,
    Checksums,
    crc_of_array,
    crc_of_file,
    list_files,
)
from linen_store.formats.orbax.layout import NOTHING, is_checkpoint
from linen_store.formats.orbax.writing import write_with_orbax
from linen_store.formats.writing import MASKED
from linen_store.frozen.frozen_dict import FrozenDict, unfreeze
from linen_store.reading.specs import integer_nodes, is_storable, is_text, key_data_spec, key_name
from linen_store.reading.tree import Kind
from linen_store.saving.handle import SaveHandle
from linen_store.saving.turn import Turn

__all__ = ["SaveHandle", "check_target", "save"]

_ITEM = "state"


@overload
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = ...,
    *,
    compression: bool = ...,
    wait: Literal[True] = ...,
) -> None: ...
@overload
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = ...,
    *,
    compression: bool = ...,
    wait: Literal[False],
) -> SaveHandle: ...
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = False,
    *,
    compression: bool = False,
    wait: bool = True,
) -> SaveHandle | None:
    """Save variables as an Orbax v1 checkpoint, with a CRC-32 of each array beside it.

    The checkpoint is written to a directory beside ``path``, and moved there when it is complete. With ``overwrite``,
    the two are exchanged in one step: at every moment, either the old or the new checkpoint can be opened at ``path``.
    Orbax logs only if the level of the logger ``linen_store`` is INFO or lower.

    The saves of a process, from all its threads, run one at a time in the order of the calls: the last call
    determines the checkpoint at a path.

    Orbax cannot hold arrays without elements: it reads None in their place. `CheckpointStore` restores them.

    Args:
      path: the path of the checkpoint; missing folders above it are made.
      variables: a nested mapping, a variable store, or any pytree that Orbax can save, for example a train state.
      overwrite: replace a checkpoint that is already at ``path``.
      compression: compress arrays with Zstandard. Weights shrink by a tenth, and take several times longer to read.
      wait: return when the checkpoint is complete.

    Returns:
      None, or with ``wait=False`` a `SaveHandle`. In that case the values are first copied to the memory of the host:
      they may be changed, deleted or donated at once. Each save that waits for its turn holds such a copy.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      NotACheckpointError: ``overwrite`` would replace something else than a checkpoint.
      UnwritablePathError: the folder cannot be made or written.
      SeveralProcessesError: several processes of JAX run together.
      UnencodableNameError: a name cannot be written as UTF-8.
      NameCollisionError: two leaves would have the same name once joined by dots.
      UnsupportedLeafError: a value cannot be saved.
      NestedSaveError: the same thread is already saving, as in the handler of a signal.
      SaveFailedError: writing failed, for example because the disk is full.

    Example:
      >>> import tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> save(path, {"params": {"bias": np.zeros(3, np.float32)}})
      >>> sorted(os.listdir(path))[:2]
      ['_CHECKPOINT_METADATA', 'commit_success.txt']
    """
    target = os.path.abspath(local_path(path))
    if jax.process_count() > 1:
        raise SeveralProcessesError(target, jax.process_count())
    check_target(target, overwrite)
    tree = _plain(variables)
    if isinstance(tree, dict) and not tree:
        tree = {NOTHING: None}
    job = _Job(target, tree, overwrite=overwrite, compression=compression)
    if wait:
        job.run()
        return None
    return job.start()


def check_target(target: str, overwrite: bool) -> None:
    """Raise if something at a path must not be replaced.

    Raises:
      CheckpointExistsError: something is there, and ``overwrite`` is False.
      NotACheckpointError: it is not a checkpoint.
    """
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise CheckpointExistsError(target)
    if not is_checkpoint(target) and not (os.path.isdir(target) and not listed(target)):
        raise NotACheckpointError(
            target,
            "something else",
            "Only a checkpoint is overwritten; remove it or choose another path.",
        )


def _plain(variables: Any) -> Any:
    """Convert stores and FrozenDicts to the plain containers that Orbax takes."""
    if isinstance(variables, VariableStore):
        return variables.snapshot()
    if isinstance(variables, FrozenDict):
        return unfreeze(variables)
    if isinstance(variables, Mapping):
        return {name: _plain(child) for name, child in variables.items()}
    return variables


class _Job:
    """One save: its checked leaves, and the tree for Orbax."""

    def __init__(self, path: str, tree: Any, *, overwrite: bool, compression: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.compression = compression
        found, self.treedef = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
        self.names = [tuple(key_name(key) for key in keys) for keys, _ in found]
        self.leaves = [leaf for _, leaf in found]
        self.integers = integer_nodes(keys for keys, _ in found)
        self._check_joined_names()
        self.leaves = [
            _saveable(path, names, leaf)
            for names, leaf in zip(self.names, self.leaves, strict=True)
        ]

    def _check_joined_names(self) -> None:
        seen: dict[str, tuple[str, ...]] = {}
        for names in self.names:
            joined = ".".join(names)
            if not is_text(joined):
                raise UnencodableNameError(self.path, names)
            if joined in seen:
                raise NameCollisionError(self.path, joined, seen[joined], names)
            seen[joined] = names

    def start(self) -> SaveHandle:
        """Save the current values in the background."""
        from linen_store.saving.host_copies import host_copies

        self.leaves = host_copies(self.leaves)
        turn = Turn(self.path)
        try:
            return SaveHandle(self.path, lambda: self.run(turn))
        except BaseException:
            turn.leave()
            raise

    def run(self, turn: Turn | None = None) -> None:
        """Write the checkpoint and move it to its path, when it is this save's turn."""
        from linen_store.saving.host_copies import restored_copy

        with turn or Turn(self.path):
            # An earlier save may have put something at the path meanwhile.
            check_target(self.path, self.overwrite)
            with save_failures(self.path, Exception), staging_directory(self.path) as folder:
                self.leaves = [restored_copy(leaf) for leaf in self.leaves]
                finished = os.path.join(folder, "checkpoint")
                self._write(finished)
                publish(finished, self.path, overwrite=self.overwrite)

    def _write(self, folder: str) -> None:
        kept = [None if _has_no_elements(leaf) else leaf for leaf in self.leaves]
        tree = jax.tree_util.tree_unflatten(self.treedef, kept)
        parent, name = os.path.split(folder)
        announced = {ANNOUNCEMENT: [_ITEM]}
        with plain_alias(parent) as alias:
            write_with_orbax(os.path.join(alias, name), tree, _ITEM, self.compression, announced)
        item = os.path.join(folder, _ITEM)
        # Orbax waits for its data files only. The other files and the folders must be on the disk too.
        sync_files(folder)
        names = list_files(item)
        Checksums(
            leaves=dict(self._crc_records()),
            files={name: crc_of_file(os.path.join(item, name)) for name in names},
            arrays=dict(self._array_records()),
            keys=dict(self._empty_key_records()),
            integers=self.integers,
        ).write(item)

    def _empty_key_records(self) -> Iterator[tuple[str, str]]:
        """Yield the arrays of keys without elements: Orbax does not store them."""
        for names, leaf in zip(self.names, self.leaves, strict=True):
            if _has_no_elements(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                yield ".".join(names), str(jax.random.key_impl(leaf))

    def _array_records(self) -> Iterator[tuple[str, tuple[tuple[int, ...], str, Kind]]]:
        for names, leaf in zip(self.names, self.leaves, strict=True):
            if isinstance(leaf, np.ndarray):
                yield ".".join(names), (leaf.shape, leaf.dtype.name, "numpy")
            elif isinstance(leaf, jax.Array):
                data = key_data_spec(leaf)
                yield ".".join(names), (data.shape, data.dtype.name, "array")

    def _crc_records(self) -> Iterator[tuple[str, int]]:
        for names, leaf in zip(self.names, self.leaves, strict=True):
            data = _host_values(leaf)
            if data is not None:
                yield ".".join(names), crc_of_array(data)


def _is_none(value: Any) -> bool:
    return value is None


def _saveable(path: str, names: tuple[str, ...], leaf: Any) -> Any:
    """Convert a leaf to a type that Orbax takes, or raise."""
    if isinstance(leaf, np.generic):
        leaf = np.asarray(leaf)
    if isinstance(leaf, jax.core.Tracer):
        raise UnsupportedLeafError(path, names, "a tracer inside a JAX transformation")
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise UnsupportedLeafError(path, names, "a ShapeDtypeStruct, which has no values")
    if isinstance(leaf, np.ma.MaskedArray):
        raise UnsupportedLeafError(path, names, MASKED)
    if isinstance(leaf, np.ndarray):
        if not is_storable(leaf.dtype):
            raise UnsupportedLeafError(path, names, f"a numpy array of {leaf.dtype}")
        # Orbax stores numbers in the machine's byte order, and the CRC-32 is of the stored bytes.
        return leaf.astype(leaf.dtype.newbyteorder("="), copy=False)
    if isinstance(leaf, int) and not -(2**63) <= leaf < 2**64:
        raise UnsupportedLeafError(path, names, "an integer of more than 64 bits")
    if isinstance(leaf, jax.Array) and leaf.is_deleted():
        raise UnsupportedLeafError(path, names, "a deleted (donated) array")
    if isinstance(leaf, str) and not is_text(leaf):
        raise UnsupportedLeafError(path, names, "a string with half a surrogate pair in it")
    if leaf is None or isinstance(leaf, jax.Array | np.ndarray | bool | int | float | str):
        return leaf
    raise UnsupportedLeafError(path, names, f"a {type(leaf).__name__}")


def _has_no_elements(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and leaf.size == 0


def _host_values(leaf: Any) -> np.ndarray[Any, Any] | None:
    """Return the stored values of a leaf; None for a string and None."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array | np.ndarray | bool | int | float):
        return np.asarray(leaf)
    return None
