"""Lets the processes of one save agree, and notices those that die.

Each process posts its part to the coordination service of JAX; process 0 collects the parts and posts the answer. No
device takes part, and a save in the background cannot come between the collectives of a training step.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from linen_core import errors as core_errors
from linen_core.errors import LinenError
from linen_store import errors
from linen_store._jax_compat import coordination_client
from linen_store.errors import LostProcessError, SaveFailedError, SeveralProcessesError

__all__ = ["Processes"]

_ARRIVAL = 5
"""Processes may reach the call at different times: the first waits this many timeouts."""

_LONGEST_POLL = 1.0
"""Seconds between two looks at the other processes."""

_BEATS = 5
"""Signs of life per timeout."""

_ANSWER = "answer"


class Processes:
    """The processes of JAX that make one save together.

    Every process creates one object for each of its saves, in the same order.

    Args:
      path: the path of the save, for errors.
      timeout: the number of seconds after which a silent process is lost.

    Raises:
      SeveralProcessesError: the processes have no coordination service.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.number = jax.process_index()
        self.count = jax.process_count()
        self.path = path
        self._timeout = timeout
        self._client = coordination_client()
        if self._client is None:
            raise SeveralProcessesError(path, self.count)
        self._save = next(_save_numbers)
        self._prefix = _prefix_of(self._save)
        self._seen: dict[int, tuple[str | None, float]] = {}

    @property
    def is_first(self) -> bool:
        """True in process 0, which makes and publishes the checkpoint."""
        return self.number == 0

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Show the other processes that this one lives, until the block ends."""
        stop = threading.Event()

        def beat() -> None:
            for count in itertools.count():
                # The service ends with process 0, which the calling thread notices too.
                with contextlib.suppress(LostProcessError):
                    self._post(f"alive/{self.number}", str(count))
                if stop.wait(self._timeout / _BEATS):
                    return

        thread = threading.Thread(target=beat, name="linen-store save", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def together(self, question: str, work: Callable[[], Any]) -> list[Any]:
        """Run a function in every process, and return the results of all, which JSON must be able to hold.

        Raises:
          LostProcessError: a process died, or did not call.
          StoreError: the function failed in a process. Every process raises the error of the first that failed.
        """
        own: BaseException | None = None
        try:
            part = {"value": work()}
        except Exception as error:  # noqa: BLE001 - every process raises it, below
            own = error
            part = {"error": _described(error, self.path)}
        answer = self._exchange(question, json.dumps(part, default=str))
        if "lost" in answer:
            self._spread(question, answer["lost"])
            raise LostProcessError(self.path, answer["lost"], self.count, self._timeout)
        parts = [json.loads(text) for text in answer["parts"]]
        failed = [one["error"] for one in parts if "error" in one]
        if failed:
            self._spread(question, [])
            raise _rebuilt(failed[0]) from own
        return [one["value"] for one in parts]

    def wait_for(self, question: str) -> None:
        """Wait until the other processes have run their part of `together`; this one has none."""
        self.together(question, lambda: None)

    def forget_earlier(self) -> None:
        """Remove the entries of the save before this one, which every process has ended."""
        if self.is_first and self._save:
            with self._service():
                self._client.key_value_delete(_prefix_of(self._save - 1))

    def _exchange(self, question: str, part: str) -> dict[str, Any]:
        """Post the own part, and return the answer of process 0."""
        if not self.is_first:
            self._post(f"{question}/{self.number}", part)
            found: dict[str, Any] = json.loads(self._wait(f"{question}/{_ANSWER}", [0]))
            return found
        parts = [part]
        answer: dict[str, Any]
        try:
            for number in range(1, self.count):
                waiting = range(number, self.count)
                parts.append(self._wait(f"{question}/{number}", waiting))
            answer = {"parts": parts}
        except LostProcessError as error:
            answer = {"lost": error.processes}
        self._post(f"{question}/{_ANSWER}", json.dumps(answer))
        return answer

    def _spread(self, question: str, lost: Sequence[int]) -> None:
        """Wait in process 0 until the others know of a failure: once it ends, JAX ends them without an error."""
        if not self.is_first:
            with contextlib.suppress(LostProcessError):
                self._post(f"{question}/known/{self.number}", "")
            return
        deadline = time.monotonic() + self._timeout
        for number in set(range(1, self.count)) - set(lost):
            key = self._prefix + f"{question}/known/{number}"
            left = max(1, int(1000 * (deadline - time.monotonic())))
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                self._client.blocking_key_value_get(key, left)

    def _post(self, name: str, text: str) -> None:
        with self._service():
            self._client.key_value_set(self._prefix + name, text, allow_overwrite=True)

    @contextlib.contextmanager
    def _service(self) -> Iterator[None]:
        """Report that the service fails: process 0, which runs it, died."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            raise LostProcessError(self.path, [0], self.count, self._timeout) from error

    def _wait(self, name: str, numbers: Sequence[int]) -> str:
        """Wait for an entry as long as some processes live."""
        poll = min(_LONGEST_POLL, self._timeout / _BEATS)
        key = self._prefix + name
        while True:
            with self._service():
                try:
                    return str(self._client.blocking_key_value_get(key, max(1, int(1000 * poll))))
                except jax.errors.JaxRuntimeError as error:
                    if "DEADLINE_EXCEEDED" not in str(error):
                        raise
            self._check_alive(name, numbers)

    def _check_alive(self, name: str, numbers: Sequence[int]) -> None:
        with self._service():
            directory = dict(self._client.key_value_dir_get(self._prefix))
        question = name.rpartition("/")[0]
        now = time.monotonic()
        lost = []
        for number in numbers:
            beat = directory.get(self._prefix + f"alive/{number}")
            before, since = self._seen.setdefault(number, (beat, now))
            if beat != before:
                self._seen[number] = (beat, now)
            limit = self._timeout * (_ARRIVAL if beat is None else 1)
            posted = self._prefix + f"{question}/{number}" in directory
            if beat == before and now - since > limit and not posted:
                lost.append(number)
        if lost:
            raise LostProcessError(self.path, lost, self.count, self._timeout)


_save_numbers = itertools.count()
"""The numbers of the saves of this process. Saves of the same number, in several processes, are one save."""


def _prefix_of(save: int) -> str:
    return f"linen_store/save/{save}/"


def _described(error: Exception, path: str) -> dict[str, Any]:
    """Describe an error in JSON; errors of other packages as a failed save."""
    if not isinstance(error, LinenError) or _error_class(type(error).__name__) is None:
        error = SaveFailedError(path, str(error) or type(error).__name__)
    return {
        "class": type(error).__name__,
        "arguments": list(error.args),
        "number": getattr(error, "errno", None),
        "attributes": vars(error),
    }


def _rebuilt(found: dict[str, Any]) -> Exception:
    """Return the error that another process described."""
    kind: Any = _error_class(found["class"])
    error: Exception = kind.__new__(kind)
    error.args = tuple(found["arguments"])
    if found["number"] is not None and isinstance(error, OSError):
        error.errno = found["number"]
    for name, value in found["attributes"].items():
        setattr(error, name, tuple(value) if isinstance(value, list) else value)
    return error


def _error_class(name: str) -> type[Exception] | None:
    """Return the class of an error of linen_store or linen_core, or None."""
    found: type[Exception] | None = getattr(errors, name, None) or getattr(core_errors, name, None)
    return found
