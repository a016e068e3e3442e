"""Saves a checkpoint from several processes: each writes its parts, and process 0 makes one checkpoint of them.

The processes agree before anything is written, and again at each step. An error in one of them ends the save in all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from linen_store.errors import ProcessesDisagreeError, SaveFailedError
from linen_store.filesystem.atomic_replace import sync_files
from linen_store.filesystem.failures import save_failures
from linen_store.filesystem.paths import plain_alias
from linen_store.filesystem.remote import is_remote
from linen_store.formats.orbax.checksums import (
    ANNOUNCEMENT,
    crc_of_file,
    crc_of_top_files,
    list_files,
)
from linen_store.formats.orbax.chunks import Chunk
from linen_store.formats.orbax.writing import write_markers, write_part
from linen_store.saving.processes import Processes
from linen_store.saving.saved_tree import SavedTree
from linen_store.saving.target import ITEM, Hooks, publish, staging
from linen_store.saving.upload import Upload

__all__ = ["ANNOUNCED", "agree_on_call", "save_together"]

ANNOUNCED = {ANNOUNCEMENT: [ITEM]}
"""The metadata of a checkpoint."""


def save_together(
    path: str,
    tree: SavedTree | Exception,
    processes: Processes,
    options: dict[str, bool],
    metadata: dict[str, Any],
    hooks: Hooks,
) -> None:
    """Save a tree from several processes. Each of them calls this.

    Values that are not spread over processes are those of process 0.

    Args:
      path: the path of the checkpoint.
      tree: the tree, or the error that this process found in it.
      processes: the processes.
      options: ``overwrite`` and ``compression``.
      metadata: the metadata of the checkpoint, in process 0.
      hooks: what process 0 calls before and after; all processes have the same kind.

    Raises:
      LostProcessError: a process died.
      ProcessesDisagreeError: the processes passed different paths, options or trees.
      StoreError: the save failed in a process.
    """
    with processes.alive():
        checked = _agree(path, tree, processes, options)
        with contextlib.ExitStack() as stack:
            # A tree that is not spread over the processes is uploaded by process 0, when it publishes.
            is_uploaded = checked.is_global and is_remote(path)
            kind = _TogetherInBucket if is_uploaded else _Together
            overwrite, compression = options["overwrite"], options["compression"]
            save = kind(path, checked, processes, metadata, hooks, overwrite, compression)
            (first, *_) = processes.together("staged", lambda: save.stage(stack))
            save.staging = save.staging or first
            processes.together("seen", save.check_staging)
            if processes.is_first:
                failure = save.write_first()
                processes.together("published", lambda: save.publish(failure))
            else:
                processes.together("written", save.write_part)
                processes.wait_for("published")
        if hooks.after is not None:
            if processes.is_first:
                processes.together("finished", hooks.finish)
            else:
                processes.wait_for("finished")


def _raise(error: Exception) -> None:
    raise error


def agree_on_call(
    name: str,
    path: str,
    processes: Processes,
    options: Mapping[str, object],
    work: Callable[[], str],
) -> list[str]:
    """Check that all processes make the same call.

    Args:
      name: the name of the function.
      path: the path that this process passed.
      processes: the processes.
      options: the options that this process passed.
      work: what else this process does; its error is raised in all processes.

    Returns:
      What ``work`` returned in each process.

    Raises:
      LostProcessError: a process died.
      ProcessesDisagreeError: the calls differ.
      StoreError: ``work`` failed in a process.
    """

    def describe() -> list[list[str]]:
        result = work()
        shown = [f"{option}={value}" for option, value in options.items()]
        return [[f"a call of `{name}`", f"the path {path!r}", *shown], [path, result]]

    found = processes.together("agreed", describe)
    processes.forget_earlier()
    (first, (expected, _)), *others = found
    for number, (passed, _) in enumerate(others, 1):
        for one, other in zip(first, passed, strict=False):
            if one != other:
                raise ProcessesDisagreeError(expected, number, other, one)
    return [result for _, (_, result) in found]


def _agree(
    path: str, tree: SavedTree | Exception, processes: Processes, options: dict[str, bool]
) -> SavedTree:
    """Return the tree if all processes passed the same path, options and names."""

    def describe() -> str:
        if isinstance(tree, Exception):
            raise tree
        return hashlib.sha256(json.dumps(tree.describe()).encode()).hexdigest()

    first, *others = agree_on_call("save", path, processes, options, describe)
    different = [number for number, found in enumerate(others, 1) if found != first]
    assert isinstance(tree, SavedTree)  # noqa: S101 - for the type checker; `describe` raised otherwise
    if different:
        leaves = tree.describe() if processes.number in (0, different[0]) else {}
        described = processes.together("described", lambda: leaves)
        found, expected = _first_difference(described[different[0]], described[0])
        raise ProcessesDisagreeError(path, different[0], found, expected)
    return tree


def _first_difference(found: dict[str, str], expected: dict[str, str]) -> tuple[str, str]:
    """Return what two processes passed for the first leaf that differs."""
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            break
    described = [
        f"{name!r} as {leaves[name]}" if name in leaves else f"no {name!r}"
        for leaves in (found, expected)
    ]
    return described[0], described[1]


@dataclasses.dataclass
class _Together:
    """The steps of one save, as one of the processes takes them. The processes write to one folder."""

    path: str
    tree: SavedTree
    processes: Processes
    metadata: dict[str, Any]
    hooks: Hooks
    overwrite: bool
    compression: bool
    staging: str = ""
    start: int = dataclasses.field(default_factory=time.time_ns)

    shares_folder: ClassVar = True

    @property
    def _finished(self) -> str:
        return os.path.join(self.staging, "checkpoint")

    @property
    def _item(self) -> str:
        return os.path.join(self._finished, ITEM)

    def stage(self, stack: contextlib.ExitStack) -> str | None:
        """Make the folder that this process writes in, and return its path; None if process 0 makes it."""
        if self.processes.is_first:
            self._begin()
        elif self.shares_folder:
            return None
        self.staging = stack.enter_context(staging(self.path))
        os.makedirs(self._item)
        if self.tree.is_global:
            # The other processes of Orbax wait until it exists, for up to ten minutes.
            os.mkdir(os.path.join(self._item, "array_metadatas"))
        return self.staging

    def _begin(self) -> None:
        """Check the path, in process 0."""
        self.hooks.check(self.path, overwrite=self.overwrite)

    def check_staging(self) -> None:
        """Raise if this process does not see the folder."""
        if not os.path.isdir(self._item):
            reason = (
                f"process {self.processes.number} does not see the folder that process 0 made; "
                "expected a file system that all processes share, or the address of a bucket"
            )
            raise SaveFailedError(self.path, reason)

    def write_part(self) -> None:
        """Write the parts of a process other than the first."""
        if self.tree.is_global:
            self._write(lambda: None)
        self._record_part()

    def write_first(self) -> Exception | None:
        """Write the parts of process 0, and wait for those of the others; return an error they do not know yet."""
        answers: list[Exception | None] = []

        def others() -> None:
            # An error here would end the writes of this process in the middle: it is raised afterwards.
            try:
                self.processes.wait_for("written")
                self._fetch_descriptions()
            except Exception as error:  # noqa: BLE001 - raised below
                answers.append(error)
            else:
                answers.append(None)

        failure: Exception | None = None
        try:
            self._write(others)
        except Exception as error:  # noqa: BLE001 - every process raises it
            failure = error
            if not answers:
                self.processes.together("written", functools.partial(_raise, error))
        if answers[0] is not None:
            raise answers[0]
        return failure

    def _fetch_descriptions(self) -> None:
        """Get the descriptions of arrays by the other processes, which Orbax compares. A shared folder has them."""

    def _write(self, others: Any) -> None:
        with save_failures(self.path, Exception), plain_alias(self.staging) as alias:
            write_part(
                os.path.join(alias, "checkpoint", ITEM),
                self.tree.for_orbax(),
                self.compression,
                self.processes.number,
                others,
                has_all=self.shares_folder,
            )

    def _record_part(self) -> None:
        """Pass the checksums of the files and arrays of this process to process 0."""
        with save_failures(self.path, Exception):
            number = self.processes.number
            folder = os.path.join(self._item, f"ocdbt.process_{number}")
            names = [os.path.join(f"ocdbt.process_{number}", name) for name in list_files(folder)]
            described = os.path.join("array_metadatas", f"process_{number}")
            if os.path.lexists(os.path.join(self._item, described)):
                names.append(described)
            # Another machine may hold what this one wrote in its memory only.
            sync_files(folder)
            part = {
                "files": {name: crc_of_file(os.path.join(self._item, name)) for name in names},
                "chunks": self.tree.chunks(with_local=False),
            }
            self._hand_over(part, names)

    def _hand_over(self, part: dict[str, Any], _names: list[str]) -> None:
        """Pass the record of this process, and the files with these names in the item, to process 0."""
        with open(self._part_file(self.processes.number), "w", encoding="utf-8") as stream:
            json.dump(part, stream)
            stream.flush()
            os.fsync(stream.fileno())

    def _part_file(self, number: int) -> str:
        return os.path.join(self.staging, f"part_{number}.json")

    def publish(self, failure: Exception | None) -> None:
        """Complete the checkpoint of process 0 and move it to its path, unless writing it failed."""
        if failure is not None:
            raise failure
        with save_failures(self.path, Exception):
            write_markers(self._finished, ITEM, self.metadata, self.start)
            chunks: dict[str, list[Chunk]] = self.tree.chunks()
            files: dict[str, tuple[int, int]] = {}
            for part in self._parts():
                files.update(part["files"])
                for name, found in part["chunks"].items():
                    chunks.setdefault(name, []).extend(_chunk(*one) for one in found)
            self._merge(files)
            sync_files(self._finished)
            for name in list_files(self._item):
                if name not in files:
                    files[name] = crc_of_file(os.path.join(self._item, name))
            top = crc_of_top_files(self._finished)
            self.tree.checksums(chunks, files, top).write(self._item)
            self._complete()

    def _parts(self) -> Iterable[dict[str, Any]]:
        """Return what the other processes have recorded."""
        for number in range(1, self.processes.count):
            with open(self._part_file(number), encoding="utf-8") as stream:
                yield json.load(stream)

    def _merge(self, others: Iterable[str]) -> None:
        """Make one index of all arrays; ``others`` are the files of the others. In a shared folder Orbax does it."""

    def _complete(self) -> None:
        publish(self._finished, self.path, overwrite=self.overwrite)


@dataclasses.dataclass
class _TogetherInBucket(_Together):
    """The steps of a save to a bucket. The processes need not share a disk: each uploads its part."""

    shares_folder: ClassVar = False

    def __post_init__(self) -> None:
        self._upload = Upload(self.path)

    def _begin(self) -> None:
        super()._begin()
        self._upload.begin()

    def _fetch_descriptions(self) -> None:
        others = range(1, self.processes.count)
        names = [f"{ITEM}/array_metadatas/process_{number}" for number in others]
        self._upload.fetch(self._finished, names)

    def _hand_over(self, part: dict[str, Any], names: list[str]) -> None:
        self._upload.add(self._finished, [os.path.join(ITEM, name) for name in names])
        self._upload.add_part(self.processes.number, part)

    def _parts(self) -> Iterable[dict[str, Any]]:
        return self._upload.take_parts(range(1, self.processes.count))

    def _merge(self, others: Iterable[str]) -> None:
        with contextlib.suppress(FileNotFoundError):  # process 0 may have written no array
            os.remove(os.path.join(self._item, "manifest.ocdbt"))
        shutil.rmtree(os.path.join(self._item, "d"), ignore_errors=True)
        own = list_files(self._item)
        self._upload.add(self._finished, [os.path.join(ITEM, name) for name in own])
        folders = {name.split("/")[0] for name in (*own, *others)}
        self._upload.merge(
            self._finished, sorted(name for name in folders if name.startswith("ocdbt.process_"))
        )

    def _complete(self) -> None:
        self._upload.complete(self._finished)


def _chunk(bounds: list[list[int]], crc: int) -> Chunk:
    return Chunk(tuple((start, stop) for start, stop in bounds), crc)
