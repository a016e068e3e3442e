"""The checkpoints of a training run: one folder, one checkpoint for each saved step."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from linen_core import VariableStore
from linen_store.errors import CheckpointExistsError, StepNotFoundError
from linen_store.filesystem.failures import removal_failures
from linen_store.formats.opening import open_store
from linen_store.restoring.variables import Restored, restore
from linen_store.saving.checkpoint import TIMEOUT, SaveHandle, save_with_hooks
from linen_store.saving.step_folder import StepFolder
from linen_store.steps.keeping import best_step, removed_steps
from linen_store.steps.preemption import Preemption

__all__ = ["Checkpoints"]

_METRICS = "linen_metrics"
"""The entry of a checkpoint's metadata that holds its metrics."""


class Checkpoints:
    """The checkpoints of a training run, by step.

    The checkpoint of step 100 is the folder ``100`` in the folder, as `save` writes it. It appears when it is complete.
    `open_store` and Orbax's `CheckpointManager` read the folder too. Each save runs in the background, one at a time:
    the next one waits for it.

    With several processes of JAX, each of them makes the same calls. Process 0 removes old steps.

    Args:
      folder: the folder, or an address in a bucket; it is made by the first save.
      keep: the number of newest steps to keep; None for all.
      keep_every: also keep the steps that this number divides.
      best: the name of a metric; the step with its best value is kept too.
      mode: ``"min"`` if the smallest value of the metric is the best, ``"max"`` for the largest.
      timeout: the number of seconds after which a process that gives no sign of life is lost (see `save`).

    Raises:
      ValueError: an argument is not one of the values above.

    Example:
      >>> import tempfile, jax.numpy as jnp
      >>> with Checkpoints(tempfile.mkdtemp(), keep=2, best="loss") as checkpoints:
      ...     for step, loss in enumerate([0.5, 0.1, 0.3, 0.2]):
      ...         checkpoints.save(step, {"params": {"w": jnp.full(2, step)}}, {"loss": loss})
      >>> checkpoints.steps, checkpoints.latest, checkpoints.best
      ([1, 2, 3], 3, 1)
      >>> state, report = checkpoints.restore({"params": {"w": jnp.zeros(2, jnp.int32)}})
      >>> state["params"]["w"].tolist()
      [3, 3]
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        keep: int | None = 3,
        keep_every: int | None = None,
        best: str | None = None,
        mode: Literal["min", "max"] = "min",
        timeout: float = TIMEOUT,
    ) -> None:
        if (keep is not None and keep < 1) or (keep_every is not None and keep_every < 1):
            msg = (
                f"Cannot keep checkpoints with keep={keep} and keep_every={keep_every}: expected "
                "whole numbers from 1, or None."
            )
            raise ValueError(msg)
        if mode not in ("min", "max"):
            msg = f"Cannot choose the best checkpoint with mode={mode!r}: expected 'min' or 'max'."
            raise ValueError(msg)
        self._folder = StepFolder(folder)
        self.folder = self._folder.path
        self._keep = keep
        self._keep_every = keep_every
        self._metric = best
        self._largest = mode == "max"
        self._timeout = timeout
        self._running: SaveHandle | None = None
        self._preemption = Preemption()
        self._watching = contextlib.ExitStack()

    @property
    def steps(self) -> list[int]:
        """The finished steps, in their order."""
        names = self._folder.checkpoints()
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    @property
    def latest(self) -> int | None:
        """The newest finished step; None if there is none."""
        return max(self.steps, default=None)

    @property
    def best(self) -> int | None:
        """The step with the best value of the metric ``best``; None if no step has one."""
        if self._metric is None:
            return None
        metrics = {step: self.metrics(step) for step in self.steps}
        return best_step(metrics, self._metric, largest=self._largest)

    def path(self, step: int) -> str:
        """Return the path of the checkpoint of a step, which may not exist."""
        return self._folder.path_of(str(step))

    def metrics(self, step: int) -> dict[str, float]:
        """Return the metrics that were saved with a step; none for a step that something else wrote."""
        try:
            found = json.loads(self._folder.metadata(str(step)))["custom_metadata"][_METRICS]
            return {str(name): float(value) for name, value in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def save(
        self,
        step: int,
        state: Any,
        metrics: Mapping[str, float] | None = None,
        *,
        overwrite: bool = False,
        wait: bool = False,
    ) -> None:
        """Save a step in the background, and remove the steps that need not be kept when it is complete.

        First waits for the save before it. The values are copied: they may be changed, deleted or donated afterwards.
        A step that is older than others is kept until the next save; `latest` remains the newest.

        Args:
          step: the number of the step, from 0.
          state: the variables, a train state, or any other pytree that `linen_store.save` takes.
          metrics: numbers that describe the step; of several processes, those of process 0 are saved.
          overwrite: replace the step if it exists.
          wait: return when the checkpoint is complete.

        Raises:
          CheckpointExistsError: the step exists, and ``overwrite`` is False.
          StepRemovalError: an old step cannot be removed; this step is saved.
          StoreError: this save, or the one before, failed.
        """
        self.wait()
        found = {name: float(value) for name, value in (metrics or {}).items()}
        self._running = save_with_hooks(
            self.path(step),
            state,
            overwrite,
            wait=wait,
            timeout=self._timeout,
            metadata={_METRICS: found} if found else {},
            after=functools.partial(self._remove_old, step),
        )

    def wait(self) -> None:
        """Wait for the running save, if there is one.

        Raises:
          StoreError: it failed.
        """
        running, self._running = self._running, None
        if running is not None:
            running.wait()

    def stop(self, step: int, state: Any, metrics: Mapping[str, float] | None = None) -> bool:
        """Return whether the machine is about to be taken away; in that case the step is saved first.

        Call this once for each step, inside the ``with`` block of the checkpoints, and end the training if it is true.
        """
        if not self._preemption.reached(step):
            return False
        try:
            self.wait()
        finally:
            with contextlib.suppress(CheckpointExistsError):
                self.save(step, state, metrics, wait=True)
        return True

    def restore(self, target: Any, *args: Any, step: int | None = None, **options: Any) -> Restored:
        """Restore a step into a model or a pytree, as `linen_store.restore` does.

        Args:
          target: the model, or a pytree such as a train state.
          *args: the arguments of the model.
          step: the step; the newest finished one by default.
          **options: the options of `linen_store.restore`.

        Raises:
          StepNotFoundError: the step does not exist.
          StoreError: the checkpoint cannot be read, or does not match.
        """
        return restore(target, self._existing(step), *args, **options)

    def open(self, step: int | None = None, **options: Any) -> VariableStore:
        """Open a step as a store, by default the newest finished one; ``options`` are those of `open_store`.

        Raises:
          StepNotFoundError: the step does not exist.
        """
        return open_store(self._existing(step), **options)

    def _existing(self, step: int | None) -> str:
        self.wait()
        steps = self.steps
        chosen = max(steps, default=None) if step is None else step
        if chosen is None or chosen not in steps:
            raise StepNotFoundError(self.folder, step, steps)
        return self.path(chosen)

    def _remove_old(self, saved: int) -> None:
        options = {"keep": self._keep, "keep_every": self._keep_every}
        for step in removed_steps(self.steps, saved=saved, best=self.best, **options):
            with removal_failures(self.path(saved), self.path(step)):
                self._folder.remove(str(step))
        self._folder.remove_leftovers()

    def __enter__(self) -> Self:
        """Handle the signal that announces the end of the machine, see `stop`."""
        self._watching.enter_context(self._preemption.watched())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the running save."""
        self._watching.close()
        self.wait()
