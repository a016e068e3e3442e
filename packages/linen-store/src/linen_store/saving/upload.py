"""Uploads a checkpoint to a bucket, from one process or from several that share no disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from linen_store.errors import RemoteExistsError, UnwritablePathError
from linen_store.filesystem.remote import IN_WORK, RemoteFolder, remote_errors, split_address
from linen_store.formats.orbax.layout import MARKERS

__all__ = ["ITEM", "ONLY_READ", "Upload"]

ITEM = "state"
"""The name of the item of a checkpoint that holds the variables."""

ONLY_READ = "web servers are only read"

_MERGE_SECONDS = 600.0
"""Seconds for the merge of the index."""


class Upload:
    """The upload of one checkpoint. Until it is complete, an object marks it as unfinished.

    Args:
      address: the address of the checkpoint in a bucket.

    Raises:
      UnwritablePathError: it is a web server.

    Example:
      >>> Upload("https://example.org/run")
      Traceback (most recent call last):
      ...
      linen_store.errors.UnwritablePathError: Cannot save to 'https://example.org/run': web servers are only read. ...
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._remote = RemoteFolder(address)
        self._done: set[str] = set()
        if not self._remote.can_list:
            raise UnwritablePathError(self._remote.address, ONLY_READ)

    def check(self) -> None:
        """Raise if something else than an interrupted upload is at the address.

        Raises:
          RemoteExistsError: something is there.
          RemoteFailedError: the bucket did not answer, or refused.
        """
        above, name = split_address(self._address)
        names = self._remote.names()
        is_interrupted = IN_WORK in names and all(map(_is_of_save, names))
        if (names and not is_interrupted) or (name and RemoteFolder(above).holds(name)):
            raise RemoteExistsError(self._remote.address)

    def begin(self) -> None:
        """Remove what an interrupted upload left, and mark this one.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        names = self._remote.names()
        # The mark comes first, and stays if this is interrupted: without it, the rest would not count as unfinished.
        self._remote.write(IN_WORK, b"")
        self._remote.delete(name for name in names if _is_of_save(name) and name != IN_WORK)

    def add(self, folder: str, names: Iterable[str]) -> None:
        """Upload some files of a checkpoint.

        Args:
          folder: the checkpoint on this machine.
          names: the paths of the files in it.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        files = {
            name.replace(os.sep, "/"): os.path.join(folder, name)
            for name in names
            if name not in self._done
        }
        self._remote.upload(files)
        self._done.update(files)

    def add_part(self, process: int, part: dict[str, Any]) -> None:
        """Upload what process 0 has to know about the files of another process."""
        self._remote.write(_part_name(process), json.dumps(part).encode())

    def take_parts(self, processes: Iterable[int]) -> list[dict[str, Any]]:
        """Return what the other processes have uploaded with `add_part`, and delete it."""
        names = list(map(_part_name, processes))
        found = self._remote.read(names)
        self._remote.delete(names)
        return [json.loads(found[name]) for name in names]

    def fetch(self, folder: str, names: Sequence[str]) -> None:
        """Copy small objects, which other processes have uploaded, to a checkpoint on this machine.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        for name, data in self._remote.read(names).items():
            file = os.path.join(folder, name)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "wb") as stream:
                stream.write(data)
            self._done.add(name)

    def merge(self, folder: str, databases: Iterable[str]) -> None:
        """Make one index of the databases that the processes have uploaded, as Orbax does on a disk.

        Args:
          folder: the checkpoint on this machine, which gets the files of the index.
          databases: the folders of the databases in the item.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        import tensorstore as ts

        item = self._remote.folder(ITEM)
        # Only within one context does a database refer to the files of another.
        context = ts.Context(item.retries)

        def opened(base: RemoteFolder) -> ts.KvStore:
            spec = {"driver": "ocdbt", "base": base.spec, "config": _CONFIG, "assume_config": True}
            return ts.KvStore.open(spec, context=context).result(timeout=_MERGE_SECONDS)

        with remote_errors(item.address, "write"):
            whole, changes = opened(item), ts.Transaction(atomic=True)
            for name in databases:
                part = opened(item.folder(name))
                copied = part.experimental_copy_range_to(whole.with_transaction(changes))
                copied.result(timeout=_MERGE_SECONDS)
            changes.commit_async().result(timeout=_MERGE_SECONDS)
        self.fetch(folder, [f"{ITEM}/{one}" for one in item.names() if one.startswith(_INDEX)])

    def complete(self, folder: str) -> None:
        """Upload all other files of a checkpoint, its own marks last, and remove the mark of the upload.

        Raises:
          RemoteFailedError: the bucket did not answer, or refused.
        """
        names = [
            os.path.relpath(os.path.join(parent, name), folder)
            for parent, _, files in os.walk(folder)
            for name in files
        ]
        self.add(folder, [name for name in names if name not in MARKERS])
        for name in filter(names.__contains__, MARKERS):
            self.add(folder, [name])
        self._remote.delete([IN_WORK])


_INDEX = ("manifest.ocdbt", "d/")
"""The beginnings of the names of the files of a merged database."""

_CONFIG = {
    "max_inline_value_bytes": 1024,
    "max_decoded_node_bytes": 100_000_000,
    "manifest_kind": "single",
}
"""The form of Orbax's databases: the metadata of arrays is in the index, which is one node."""


def _part_name(process: int) -> str:
    return f"{ITEM}/_linen_part_{process}.json"


def _is_of_save(name: str) -> bool:
    """Return whether `save` uploads an object of this name."""
    return name in (IN_WORK, *MARKERS) or name.startswith(f"{ITEM}/")
