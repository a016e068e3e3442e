"""Saves variables as an Orbax checkpoint. Until it is complete, nothing changes at its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal, overload

import jax

from linen_store.filesystem.atomic_replace import sync_files
from linen_store.filesystem.failures import save_failures
from linen_store.filesystem.paths import plain_alias
from linen_store.formats.orbax.checksums import crc_of_file, crc_of_top_files, list_files
from linen_store.formats.orbax.writing import write_with_orbax
from linen_store.saving.handle import SaveHandle
from linen_store.saving.processes import Processes
from linen_store.saving.saved_tree import SavedTree
from linen_store.saving.target import (
    ITEM,
    Hooks,
    absolute,
    check_target,
    publish,
    staging,
)
from linen_store.saving.together import ANNOUNCED, save_together
from linen_store.saving.turn import Turn

__all__ = ["TIMEOUT", "SaveHandle", "check_target", "save", "save_with_hooks"]

TIMEOUT = 60.0
"""Seconds after which a process that gives no sign of life is lost."""


@overload
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = ...,
    *,
    compression: bool = ...,
    wait: Literal[True] = ...,
    timeout: float = ...,
) -> None: ...
@overload
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = ...,
    *,
    compression: bool = ...,
    wait: Literal[False],
    timeout: float = ...,
) -> SaveHandle: ...
def save(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool = False,
    *,
    compression: bool = False,
    wait: bool = True,
    timeout: float = TIMEOUT,
) -> SaveHandle | None:
    """Save variables as an Orbax v1 checkpoint, with a CRC-32 of each array beside it.

    The checkpoint is written to a directory beside ``path``, and moved there when it is complete. With ``overwrite``,
    the two are exchanged in one step: at every moment, either the old or the new checkpoint can be opened at ``path``.
    Orbax logs only if the level of the logger ``linen_store`` is INFO or lower.

    The saves of a process, from all its threads, run one at a time in the order of the calls: the last call
    determines the checkpoint at a path.

    Orbax cannot hold arrays without elements: it reads None in their place. `CheckpointStore` restores them.

    If several processes of JAX run together, each of them calls `save` with the same path and tree, in the same order,
    on a file system that they share or for a bucket. Each process writes its shards of global arrays, of replicas one
    process writes one, and all other values are those of process 0. The processes agree through the coordination
    service of `jax.distributed.initialize`, without the devices. An error in one of them is raised in all. If one
    dies, the others raise `LostProcessError` after ``timeout`` seconds. (If process 0 dies, JAX itself ends the
    others.)

    Args:
      path: the path of the checkpoint; missing folders above it are made. Or an address in a bucket, which starts with
        ``s3://`` or ``gs://``: the checkpoint is made in a temporary folder, and uploaded.
      variables: a nested mapping, a variable store, or any pytree that Orbax can save, for example a train state.
      overwrite: replace a checkpoint that is already at ``path``.
      compression: compress arrays with Zstandard. Weights shrink by a tenth, and take several times longer to read.
      wait: return when the checkpoint is complete.
      timeout: the number of seconds after which a process that gives no sign of life is lost. Processes may reach the
        call at different times: the first waits five times as long for the others.

    Returns:
      None, or with ``wait=False`` a `SaveHandle`. In that case the values are first copied to the memory of the host:
      they may be changed, deleted or donated at once. Each save that waits for its turn holds such a copy.

    Raises:
      RemotePathError: ``path`` is an address of another kind.
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      RemoteExistsError: something is in the bucket, which cannot replace it in one step.
      RemoteFailedError: the bucket did not answer, or refused.
      NotACheckpointError: ``overwrite`` would replace something else than a checkpoint.
      UnwritablePathError: the folder cannot be made or written.
      SeveralProcessesError: several processes run together without `jax.distributed.initialize`.
      ProcessesDisagreeError: the processes passed different paths, options or trees.
      LostProcessError: another process died or did not call `save`.
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
    return save_with_hooks(
        path, variables, overwrite, compression=compression, wait=wait, timeout=timeout
    )


def save_with_hooks(
    path: str | os.PathLike[str],
    variables: Any,
    overwrite: bool,
    *,
    compression: bool = False,
    wait: bool = True,
    timeout: float | None = TIMEOUT,
    metadata: dict[str, Any] | None = None,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
) -> SaveHandle | None:
    """Save as `save` does, and call functions before and after.

    Args:
      path: the path of the checkpoint.
      variables: the variables.
      overwrite: replace a checkpoint at ``path``.
      compression: compress arrays.
      wait: return when the checkpoint is complete.
      timeout: the number of seconds after which a process that gives no sign of life is lost; None to save from this
        process alone, also if others run beside it.
      metadata: more entries for the metadata of the checkpoint.
      before: raises if nothing must be saved. Of several processes, process 0 calls it.
      after: is called once the checkpoint is complete, for example to remove others. Of several processes, process 0
        calls it, and all wait for it.
    """
    noted, hooks = {**ANNOUNCED, **(metadata or {})}, Hooks(before, after)
    job = _Job(path, variables, overwrite, compression, timeout, noted, hooks)
    if wait:
        job.run()
        return None
    return job.start()


class _Job:
    """One save: its checked leaves, and the processes that make it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        variables: Any,
        overwrite: bool,
        compression: bool,
        timeout: float | None,
        metadata: dict[str, Any],
        hooks: Hooks,
    ) -> None:
        self.path = str(path)
        self.overwrite = overwrite
        self.compression = compression
        # Every process counts its saves, also one that fails below.
        self.processes = None
        if timeout is not None and jax.process_count() > 1:
            self.processes = Processes(self.path, timeout)
        self.metadata = metadata
        self.hooks = hooks
        self.tree: SavedTree | Exception
        try:
            self.tree = self._checked(path, variables)
        except Exception as error:
            if self.processes is None:
                raise
            # The other processes wait for this one, and raise the same.
            self.tree = error

    def _checked(self, path: str | os.PathLike[str], variables: Any) -> SavedTree:
        self.path = absolute(path)
        if self.processes is None:
            self.hooks.check(self.path, overwrite=self.overwrite)
        else:
            self.processes.path = self.path
        return SavedTree(self.path, variables)

    def start(self) -> SaveHandle:
        """Save the current values in the background."""
        from linen_store.saving.host_copies import host_copies

        if isinstance(self.tree, SavedTree):
            self.tree.leaves = host_copies(self.tree.leaves)
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
            if isinstance(self.tree, SavedTree):
                self.tree.leaves = [restored_copy(leaf) for leaf in self.tree.leaves]
            if self.processes is not None:
                options = {"overwrite": self.overwrite, "compression": self.compression}
                save_together(
                    self.path, self.tree, self.processes, options, self.metadata, self.hooks
                )
            elif isinstance(self.tree, SavedTree):
                self._save_alone(self.tree)
                self.hooks.finish()

    def _save_alone(self, tree: SavedTree) -> None:
        # An earlier save may have put something at the path meanwhile.
        check_target(self.path, self.overwrite)
        with save_failures(self.path, Exception), staging(self.path) as folder:
            finished = os.path.join(folder, "checkpoint")
            with plain_alias(folder) as alias:
                write_with_orbax(
                    os.path.join(alias, "checkpoint"),
                    tree.for_orbax(),
                    ITEM,
                    self.compression,
                    self.metadata,
                )
            item = os.path.join(finished, ITEM)
            # Orbax waits for its data files only. The other files and the folders must be on the disk too.
            sync_files(finished)
            files = {name: crc_of_file(os.path.join(item, name)) for name in list_files(item)}
            tree.checksums(tree.chunks(), files, crc_of_top_files(finished)).write(item)
            publish(finished, self.path, overwrite=self.overwrite)
