"""Checkpoints by step in one folder, with the names of ``flax.training.checkpoints``.

A checkpoint of step 7 is ``checkpoint_7`` in the folder. `save_checkpoint` writes what `linen_store.save` writes, or
MessagePack if the flag ``flax_use_orbax_checkpointing`` of `linen_core.config` is False. `restore_checkpoint` reads
both, also from flax.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from linen_core.configurations import config
from linen_core.errors import InvalidCheckpointError
from linen_store.filesystem.atomic_replace import publish, staging_directory, sync_files
from linen_store.filesystem.failures import removal_failures, save_failures
from linen_store.filesystem.paths import local_path
from linen_store.formats.opening import open_store
from linen_store.frozen.frozen_dict import FrozenDict, freeze
from linen_store.restoring.variables import restore
from linen_store.saving.checkpoint import save_with_hooks
from linen_store.saving.step_folder import StepFolder
from linen_store.serialization import to_bytes, to_state_dict

__all__ = [
    "ORBAX_CKPT_FILENAME",
    "AsyncManager",
    "available_steps",
    "convert_pre_linen",
    "latest_checkpoint",
    "natural_sort",
    "restore_checkpoint",
    "save_checkpoint",
    "save_checkpoint_multiprocess",
]

ORBAX_CKPT_FILENAME = "checkpoint"
"""Name of the main file of a checkpoint of Orbax in its early releases."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SIGNED = re.compile(f"([-+]?{_NUMBER})")
_UNSIGNED = re.compile(f"[-+]?({_NUMBER})")
_NUMBERED_MODULE = re.compile(r"(.*)_\d+")
# Temporary names of flax and Orbax, the folders of arrays that flax kept beside its file, and steps removed in part.
_OTHER = re.compile(r"tmp|.*_gda|.*orbax-checkpoint-tmp.*|.*\.linen-removed")


class AsyncManager:
    """Runs the saves of `save_checkpoint` in a thread, one after the other.

    Example:
      >>> manager, saved = AsyncManager(), []
      >>> manager.save_async(lambda: saved.append("checkpoint_1"))
      >>> manager.wait_previous_save()
      >>> saved
      ['checkpoint_1']
    """

    def __init__(self, max_workers: int = 1) -> None:
        self.executor = ThreadPoolExecutor(max_workers)
        self.save_future: Future[Any] | None = None

    def wait_previous_save(self) -> None:
        """Wait for the last save, and raise its error if it failed."""
        if self.save_future is not None:
            self.save_future.result()

    def save_async(self, task: Callable[[], Any]) -> None:
        """Wait for the last save, then run another."""
        self.wait_previous_save()
        self.save_future = self.executor.submit(task)


def save_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: float | str,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
    async_manager: AsyncManager | None = None,
    orbax_checkpointer: Any = None,
) -> str:
    """Save a step, and remove the steps that need not be kept.

    Args:
      ckpt_dir: the folder of the checkpoints; it is made if it is missing.
      target: a pytree, for example a train state.
      step: the number of the step, or another number that grows, such as an accuracy.
      prefix: the names of the checkpoints before the number.
      keep: the number of newest checkpoints to keep; 0 for all of them.
      overwrite: replace this step, and remove the later ones.
      keep_every_n_steps: also keep a checkpoint whenever this many steps lie behind the last one kept.
      async_manager: saves in its thread. The values are copied first, so training may go on.
      orbax_checkpointer: an Orbax checkpointer that writes in place of `linen_store.save`.

    Returns:
      The path of the checkpoint.

    Raises:
      InvalidCheckpointError: the folder has this step or a later one, and ``overwrite`` is False.
      StoreError: saving fails; the checkpoints that exist are kept.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> for step in range(4):
      ...     path = save_checkpoint(folder, {"w": np.full(2, step)}, step, keep=2)
      >>> available_steps(folder), os.path.basename(path)
      ([2, 3], 'checkpoint_3')
    """
    if async_manager is not None:
        async_manager.wait_previous_save()
    folder = StepFolder(ckpt_dir)
    path = folder.path_of(f"{prefix}{step}")

    def check() -> None:
        existing = _checkpoints(folder, prefix)
        is_latest = path not in existing and natural_sort([*existing, path])[-1] == path
        if not overwrite and not is_latest:
            raise InvalidCheckpointError(path, step)

    def clean_up() -> None:
        _remove(folder, prefix, path, keep, keep_every_n_steps)

    if orbax_checkpointer is not None:
        check()
        orbax_checkpointer.save(path, target, force=overwrite)
        if jax.process_index() == 0:
            clean_up()
        return path
    if not config.flax_use_orbax_checkpointing:
        check()
        encoded = to_bytes(target)

        def write() -> None:
            if jax.process_index() == 0:
                _write_msgpack(local_path(path), encoded, overwrite)
                clean_up()

        write() if async_manager is None else async_manager.save_async(write)
        return path
    wait = async_manager is None
    handle = save_with_hooks(path, target, overwrite, wait=wait, before=check, after=clean_up)
    if async_manager is not None and handle is not None:
        async_manager.save_async(handle.wait)
    return path


def _write_msgpack(path: str, encoded: bytes, overwrite: bool) -> None:
    with save_failures(path), staging_directory(path) as folder:
        finished = os.path.join(folder, "file")
        with open(finished, "wb") as stream:
            stream.write(encoded)
        sync_files(folder)
        if overwrite and os.path.isdir(path):
            shutil.rmtree(path)
        publish(finished, path, overwrite=overwrite)


def save_checkpoint_multiprocess(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: float | str,
    prefix: str = "checkpoint_",
    keep: int = 1,
    overwrite: bool = False,
    keep_every_n_steps: int | None = None,
    async_manager: AsyncManager | None = None,
    gda_manager: object = None,
    orbax_checkpointer: Any = None,
) -> str:
    """Save a step, as `save_checkpoint` does; ``gda_manager`` is not needed and not used.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> os.path.basename(save_checkpoint_multiprocess(folder, {"w": np.zeros(2)}, 3))
      'checkpoint_3'
    """
    del gda_manager
    return save_checkpoint(
        ckpt_dir,
        target,
        step,
        prefix,
        keep,
        overwrite,
        keep_every_n_steps,
        async_manager,
        orbax_checkpointer,
    )


def _remove(folder: StepFolder, prefix: str, saved: str, keep: int, every: int | None) -> None:
    """Remove the steps after a saved one, and the old ones that need not be kept."""
    paths = _checkpoints(folder, prefix)
    position = paths.index(saved) + 1
    removed = paths[position:]
    last_kept = float("-inf")
    for path in paths[: max(position - keep, 0)] if keep else []:
        step = _number(path)
        if every and step and step - last_kept >= every:
            last_kept = step
        else:
            removed.append(path)
    for path in removed:
        with removal_failures(saved, path):
            folder.remove(os.path.basename(path))
    folder.remove_leftovers()


def _number(path: str) -> float | None:
    found = _SIGNED.findall(os.path.basename(path))
    return float(found[-1]) if found else None


def _checkpoints(folder: StepFolder, prefix: str) -> list[str]:
    """List the finished checkpoints of a folder in the order of their steps."""
    found = [
        name
        for name in folder.names()
        if name.startswith(prefix)
        and not _OTHER.fullmatch(name[len(prefix) :])
        and (prefix or not name.startswith("."))  # hidden, such as what an interrupted save left
    ]
    return [folder.path_of(name) for name in natural_sort(found)]


def latest_checkpoint(ckpt_dir: str | os.PathLike[str], prefix: str = "checkpoint_") -> str | None:
    """Return the path of the newest checkpoint of a folder; None if there is none.

    Example:
      >>> import tempfile
      >>> latest_checkpoint(tempfile.mkdtemp()) is None
      True
    """
    found = _checkpoints(StepFolder(ckpt_dir), prefix)
    return found[-1] if found else None


def available_steps(
    ckpt_dir: str | os.PathLike[str],
    prefix: str = "checkpoint_",
    step_type: Callable[[str], Any] = int,
) -> list[Any]:
    """List the steps of a folder in their order.

    Args:
      ckpt_dir: the folder.
      prefix: the names of the checkpoints before the number.
      step_type: the type of the steps, int or float.

    Raises:
      ValueError: a name has something else than a number of this type after the prefix.

    Example:
      >>> import tempfile
      >>> available_steps(tempfile.mkdtemp())
      []
    """
    found = _checkpoints(StepFolder(ckpt_dir), prefix)
    return [step_type(os.path.basename(path)[len(prefix) :]) for path in found]


def restore_checkpoint(
    ckpt_dir: str | os.PathLike[str],
    target: Any,
    step: float | str | None = None,
    prefix: str = "checkpoint_",
    parallel: bool = True,
    gda_manager: object = None,
    allow_partial_mpa_restoration: bool = False,
    orbax_checkpointer: Any = None,
    orbax_transforms: object = None,
) -> Any:
    """Restore a step of a folder, or one checkpoint.

    Args:
      ckpt_dir: the folder of the checkpoints, or the path of one.
      target: a pytree of the structure that was saved, or None.
      step: the step; the newest one by default.
      prefix: the names of the checkpoints before the number.
      parallel: not used: reads are parallel.
      gda_manager: not used: arrays are restored with the sharding of ``target``.
      allow_partial_mpa_restoration: not used.
      orbax_checkpointer: an Orbax checkpointer that reads in place of `linen_store.restore`.
      orbax_transforms: transformations for ``orbax_checkpointer``.

    Returns:
      The target with the stored values; without a target the stored values as nested dicts. If nothing was saved yet,
      the target itself.

    Raises:
      ValueError: the folder does not have the step.
      RestoreMismatchError: the stored names or shapes are not those of the target.
      StoreError: the checkpoint cannot be read.

    Example:
      >>> import tempfile
      >>> folder, state = tempfile.mkdtemp(), {"w": np.zeros(2, np.float32)}
      >>> restore_checkpoint(folder, state) is state
      True
      >>> _ = save_checkpoint(folder, {"w": np.ones(2, np.float32)}, 1)
      >>> restore_checkpoint(folder, state)["w"].tolist()
      [1.0, 1.0]
    """
    del parallel, gda_manager, allow_partial_mpa_restoration
    path = _path_to_restore(StepFolder(ckpt_dir), step, prefix)
    if path is None:
        return target
    if orbax_checkpointer is not None:
        options = {} if orbax_transforms is None else {"transforms": orbax_transforms}
        return orbax_checkpointer.restore(path, item=target, **options)
    if target is not None:
        return restore(target, path).variables
    with open_store(path) as store:
        return to_state_dict(store.snapshot())


def _path_to_restore(folder: StepFolder, step: float | str | None, prefix: str) -> str | None:
    """Return the path of a step, of the newest one, or of the only checkpoint; None if nothing was saved."""
    if step is not None:
        name = f"{prefix}{step}"
        if not folder.holds(name):
            found = [os.path.basename(one)[len(prefix) :] for one in _checkpoints(folder, prefix)]
            msg = (
                f"Cannot restore {folder.path_of(name)}: the step does not exist. "
                f"The steps are: {', '.join(found) or 'none'}."
            )
            raise ValueError(msg)
        return folder.path_of(name)
    found = _checkpoints(folder, prefix)
    if found:
        return found[-1]
    return None if folder.is_empty() else folder.path


def natural_sort(file_list: Iterable[str], signed: bool = True) -> list[str]:
    """Sort names by the numbers in them.

    Args:
      file_list: the names.
      signed: whether a sign before a number belongs to it.

    Example:
      >>> natural_sort(["file_1", "file_10", "file_2"])
      ['file_1', 'file_2', 'file_10']
      >>> natural_sort(["a_-0.5", "a_-2", "a_1e-3"])
      ['a_-2', 'a_-0.5', 'a_1e-3']
    """
    pattern = _SIGNED if signed else _UNSIGNED

    def key(name: str) -> list[tuple[int, Any]]:
        # Texts and numbers alternate. Tuples keep a number from being compared with a text.
        return [
            (1, float(part)) if pattern.fullmatch(part) else (0, part)
            for part in pattern.split(name)
        ]

    return sorted(file_list, key=key)


def convert_pre_linen(params: Any) -> Any:
    """Rename the modules of parameters of ``flax.nn``, which numbered modules of all classes together.

    Args:
      params: nested dicts; parameters that have the names of `Module` already are returned unchanged.

    Example:
      >>> convert_pre_linen({"Conv_0": {"kernel": 1}, "Dense_1": {"kernel": 2}})
      {'Conv_0': {'kernel': 1}, 'Dense_0': {'kernel': 2}}
    """
    if not isinstance(params, dict | FrozenDict):
        return params
    counts: dict[str, int] = {}
    renamed = {}
    for name in natural_sort(params.keys()):
        new_name = name
        if match := _NUMBERED_MODULE.fullmatch(name):
            counts[match[1]] = counts.get(match[1], -1) + 1
            new_name = f"{match[1]}_{counts[match[1]]}"
        renamed[new_name] = convert_pre_linen(params[name])
    return freeze(renamed) if isinstance(params, FrozenDict) else renamed
