"""Saving variables as an Orbax checkpoint that is either there whole or not there at all."""

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
from linen_store.filesystem.atomic_replace import publish, sync_files, workshop
from linen_store.filesystem.failures import save_failures
from linen_store.filesystem.paths import local_path, plain_alias
from linen_store.formats.orbax.checksums import (
    ANNOUNCEMENT,
    Checksums,
    crc_of_array,
    crc_of_file,
    list_files,
)
from linen_store.formats.orbax.layout import NOTHING, is_checkpoint, listed
from linen_store.formats.orbax.writing import write_with_orbax
from linen_store.frozen.frozen_dict import FrozenDict, unfreeze
from linen_store.reading.specs import integer_nodes, is_storable, is_text, key_data_spec, key_name
from linen_store.reading.tree import Kind
from linen_store.saving.handle import SaveHandle
from linen_store.saving.turn import Turn

__all__ = ["MASKED", "SaveHandle", "check_target", "save"]

MASKED = "a masked numpy array, whose mask would be lost"
"""What a value is that no format here can hold whole."""
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

    The checkpoint is written into a folder beside ``path`` and moved there when it is whole. With
    ``overwrite`` it changes places with the old one in one step, so that at every moment either
    can be opened at ``path``. Orbax logs while it writes only where the level of the logger
    ``linen_store`` is INFO or lower.

    The saves of a process, from all its threads, are made one at a time and in the order of the
    calls: the one that was called last stays at a path.

    Orbax itself cannot hold arrays without elements: it finds None in their place,
    `CheckpointStore` finds them.

    Args:
      path: where the checkpoint shall be; folders above it are made.
      variables: a nested mapping, a variable store, or any pytree that Orbax can save, for example
        a train state.
      overwrite: whether a checkpoint that is already at ``path`` is replaced.
      compression: whether arrays are compressed with Zstandard. Weights shrink by a tenth, and are
        read several times slower.
      wait: whether to return only when the checkpoint is whole.

    Returns:
      None, or with ``wait=False`` a `SaveHandle`. The values are copied to the memory of the host
      first, so they may be changed, deleted or donated at once. Each save that waits for its turn
      holds such a copy.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      NotACheckpointError: what would be overwritten is no checkpoint.
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
    """Refuse to write where something is that must not be replaced.

    Raises:
      CheckpointExistsError: something is there, and ``overwrite`` is False.
      NotACheckpointError: what would be overwritten is no checkpoint.
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
    """Take stores and FrozenDicts apart: Orbax knows plain containers."""
    if isinstance(variables, VariableStore):
        return variables.snapshot()
    if isinstance(variables, FrozenDict):
        return unfreeze(variables)
    if isinstance(variables, Mapping):
        return {name: _plain(child) for name, child in variables.items()}
    return variables


class _Job:
    """One save: its leaves, checked, and what Orbax shall write for them."""

    def __init__(self, path: str, tree: Any, *, overwrite: bool, compression: bool) -> None:
        self.path = path
        self.overwrite = overwrite
        self.compression = compression
        found, self.treedef = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)
        self.names = [tuple(key_name(key) for key in keys) for keys, _ in found]
        self.leaves = [leaf for _, leaf in found]
        self.integers = integer_nodes(keys for keys, _ in found)
        self._check_names()
        self.leaves = [
            _saveable(path, names, leaf)
            for names, leaf in zip(self.names, self.leaves, strict=True)
        ]

    def _check_names(self) -> None:
        seen: dict[str, tuple[str, ...]] = {}
        for names in self.names:
            joined = ".".join(names)
            if not is_text(joined):
                raise UnencodableNameError(self.path, names)
            if joined in seen:
                raise NameCollisionError(self.path, joined, seen[joined], names)
            seen[joined] = names

    def start(self) -> SaveHandle:
        """Save in the background, what the values are now."""
        from linen_store.saving.host_copies import host_copies

        self.leaves = host_copies(self.leaves)
        turn = Turn(self.path)
        try:
            return SaveHandle(self.path, lambda: self.run(turn))
        except BaseException:
            turn.leave()
            raise

    def run(self, turn: Turn | None = None) -> None:
        """Write, and move into place, when it is this save's turn."""
        from linen_store.saving.host_copies import restored_copy

        with turn or Turn(self.path):
            # An earlier save may have put something at the path meanwhile.
            check_target(self.path, self.overwrite)
            with save_failures(self.path, Exception), workshop(self.path) as folder:
                self.leaves = [restored_copy(leaf) for leaf in self.leaves]
                finished = os.path.join(folder, "checkpoint")
                self._write(finished)
                publish(finished, self.path, overwrite=self.overwrite)

    def _write(self, folder: str) -> None:
        kept = [None if _is_empty(leaf) else leaf for leaf in self.leaves]
        tree = jax.tree_util.tree_unflatten(self.treedef, kept)
        parent, name = os.path.split(folder)
        announced = {ANNOUNCEMENT: [_ITEM]}
        with plain_alias(parent) as alias:
            write_with_orbax(os.path.join(alias, name), tree, _ITEM, self.compression, announced)
        item = os.path.join(folder, _ITEM)
        # Orbax waited for its data files; the rest of them and the folders are ours to wait for.
        sync_files(folder)
        names = list_files(item)
        Checksums(
            leaves=dict(self._crcs()),
            files={name: crc_of_file(os.path.join(item, name)) for name in names},
            arrays=dict(self._arrays()),
            keys=dict(self._empty_keys()),
            integers=self.integers,
        ).write(item)

    def _empty_keys(self) -> Iterator[tuple[str, str]]:
        """Say which arrays without elements are keys: Orbax, which has no room for them, cannot."""
        for names, leaf in zip(self.names, self.leaves, strict=True):
            if _is_empty(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                yield ".".join(names), str(jax.random.key_impl(leaf))

    def _arrays(self) -> Iterator[tuple[str, tuple[tuple[int, ...], str, Kind]]]:
        for names, leaf in zip(self.names, self.leaves, strict=True):
            if isinstance(leaf, np.ndarray):
                yield ".".join(names), (leaf.shape, leaf.dtype.name, "numpy")
            elif isinstance(leaf, jax.Array):
                data = key_data_spec(leaf)
                yield ".".join(names), (data.shape, data.dtype.name, "array")

    def _crcs(self) -> Iterator[tuple[str, int]]:
        for names, leaf in zip(self.names, self.leaves, strict=True):
            data = _host_values(leaf)
            if data is not None:
                yield ".".join(names), crc_of_array(data)


def _is_none(value: Any) -> bool:
    return value is None


def _saveable(path: str, names: tuple[str, ...], leaf: Any) -> Any:
    """Turn a leaf into what Orbax takes, or refuse it."""
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
        # Orbax stores numbers in the machine's byte order, and so are they told apart by a CRC.
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


def _is_empty(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray) and leaf.size == 0


def _host_values(leaf: Any) -> np.ndarray[Any, Any] | None:
    """Give the stored values of a leaf; None for what has none."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array | np.ndarray | bool | int | float):
        return np.asarray(leaf)
    return None
