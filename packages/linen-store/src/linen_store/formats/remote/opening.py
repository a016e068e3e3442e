"""Opens the address of a bucket or a web server."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import weakref
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from linen_core import VariableStore
from linen_store.errors import (
    CheckpointNotFoundError,
    RemoteFailedError,
    UnfinishedCheckpointError,
)
from linen_store.filesystem.failures import listed
from linen_store.filesystem.outline import Outline
from linen_store.filesystem.remote import IN_WORK, RemoteFolder, is_remote, split_address
from linen_store.formats.folder import files_to_open, is_file_name
from linen_store.formats.opening import open_store, supported_options
from linen_store.formats.orbax.aggregate import AGGREGATE
from linen_store.formats.orbax.checksums import ANNOUNCEMENT, CHECKPOINT_METADATA, FILE_NAME
from linen_store.formats.orbax.layout import METADATA, UNFINISHED, holds_orbax, holds_steps
from linen_store.formats.remote.stores import (
    RemoteCheckpointStore,
    RemoteSafetensorsStore,
    fetch_headers,
)
from linen_store.reading.file_store import FileStore

__all__ = ["RemoteFormat", "outline_of", "remote_addresses"]

_USUAL_ITEMS = ("state", "default", "pytree", "params")
"""Names of items that are looked for on a web server, which cannot list names."""

_ITEM_FILES = (FILE_NAME, "manifest.ocdbt", "array_metadatas/process_0", "_strings.json")
"""Files of an item that are looked for there."""

_LAZY_SUFFIXES = (".safetensors", ".safetensors.index.json")
"""The endings of files whose arrays are requested one by one. Other files are copied to this machine."""

_AGGREGATES = 8
"""At most so many files ``checkpoint`` are requested to find out what wrote them."""


class RemoteFormat:
    """Opens addresses of buckets and web servers; `open_store` finds it in the registry."""

    suffixes: ClassVar = ()
    option_names: ClassVar = frozenset(inspect.signature(open_store).parameters) - {"path", "map"}

    def recognizes(self, path: str) -> bool:
        """Return whether a path is such an address."""
        return is_remote(path)

    def __call__(self, path: str | os.PathLike[str], **options: Any) -> VariableStore:
        """Open the address of a file, a checkpoint, or (in a bucket) a folder of either.

        Raises:
          CheckpointNotFoundError: nothing is there.
          UnfinishedCheckpointError: it was not completely uploaded.
          RemoteFailedError: a request failed.
          StoreError: it cannot be opened; see `open_store`.
        """
        address = os.fsdecode(path)
        above, name = split_address(address)
        outline = None if is_file_name(name) else outline_of(address)
        if outline is None:
            return _open_file(Outline(RemoteFolder(above), ()), name, options)
        names = listed(outline.folder)
        with outline.errors_with_addresses():
            if not (holds_orbax(outline.folder, names) or holds_steps(outline.folder, names)):
                chosen, *_ = files_to_open(
                    outline.folder, options.pop("item", None), options.pop("step", None)
                )
                return _open_file(outline, chosen, options)
            found = supported_options(RemoteCheckpointStore, outline.folder, options)
            return _kept(RemoteCheckpointStore(outline.folder, outline=outline, **found), outline)


remote_addresses = RemoteFormat()
"""The format that is registered."""


def outline_of(address: str) -> Outline | None:
    """Return an outline of the folder at an address; None if there is none.

    Raises:
      UnfinishedCheckpointError: the checkpoint was not completely uploaded.
      RemoteFailedError: a request failed.
    """
    folder = RemoteFolder(address)
    contents: dict[str, bytes] = {}
    if folder.can_list:
        names = folder.names()
    else:
        contents = _web_files(folder)
        names = [*contents, *_recorded_files(contents)]
    if not names:
        return None
    outline = Outline(folder, _without_unfinished(folder, names), contents)
    small = [name for name in names if name.rpartition("/")[2] == AGGREGATE]
    outline.fetch(small[-_AGGREGATES:])
    return outline


def _without_unfinished(folder: RemoteFolder, names: Collection[str]) -> list[str]:
    """Rename the checkpoints that are being uploaded or removed as Orbax names unfinished ones.

    Raises:
      UnfinishedCheckpointError: the folder itself is one.
    """
    tops = [name.rpartition("/")[0] for name in names if name.rpartition("/")[2] == IN_WORK]
    if "" in tops:
        raise UnfinishedCheckpointError(folder.address, f"it has the object {IN_WORK}")
    kept = [name for name in names if not name.startswith(tuple(f"{top}/" for top in tops))]
    return [*kept, *(f"{top}{UNFINISHED}/{METADATA}" for top in tops)]


def _web_files(folder: RemoteFolder) -> dict[str, bytes]:
    """Return the small files of a checkpoint on a web server, which cannot list them: those with usual names."""
    found = folder.read([CHECKPOINT_METADATA, METADATA])
    items = [""] if METADATA in found else _items_of(found.get(CHECKPOINT_METADATA))
    found |= folder.read([f"{item}/{METADATA}" for item in items if item])
    starts = [one.removesuffix(METADATA) for one in found if one.rpartition("/")[2] == METADATA]
    return found | folder.read([start + name for start in starts for name in _ITEM_FILES])


def _items_of(metadata: bytes | None) -> list[str]:
    try:
        fields = json.loads(metadata or b"")
        custom = fields.get("custom_metadata") or {}
        listed_items = [*custom.get(ANNOUNCEMENT, ()), *(fields.get("item_handlers") or ())]
        names = [item for item in listed_items if isinstance(item, str)]
        return list(dict.fromkeys(names)) or list(_USUAL_ITEMS)
    except (ValueError, AttributeError, TypeError):
        return list(_USUAL_ITEMS)


def _recorded_files(contents: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the names of files in records of checksums, whose damage is reported when they are opened."""
    for name, raw in contents.items():
        if name.rpartition("/")[2] == FILE_NAME:
            with contextlib.suppress(ValueError, IndexError, KeyError, TypeError):
                recorded = list(json.loads(raw.split(b"\n")[1])["files"])
                yield from (name.removesuffix(FILE_NAME) + one for one in recorded)


def _open_file(outline: Outline, name: str, options: Mapping[str, Any]) -> VariableStore:
    file = os.path.join(outline.folder, name)
    with outline.errors_with_addresses():
        if name.endswith(_LAZY_SUFFIXES) and _has_headers(outline, name):
            found = supported_options(RemoteSafetensorsStore, file, options)
            return _kept(RemoteSafetensorsStore(file, outline=outline, **found), outline, name)
        outline.fetch([name])
        if not os.path.exists(file):
            raise CheckpointNotFoundError(outline.remote.of(name))
        return _kept(open_store(file, **options), outline, name)


def _has_headers(outline: Outline, name: str) -> bool:
    """Fetch the headers of a file; return False if the server does not serve parts of files."""
    try:
        fetch_headers(outline, name)
    except RemoteFailedError as error:
        if error.code == "FAILED_PRECONDITION" and name.endswith(_LAZY_SUFFIXES[0]):
            return False
        raise
    return True


def _kept(store: VariableStore, outline: Outline, name: str = "") -> VariableStore:
    """Keep the files of an outline as long as a store."""
    if isinstance(store, FileStore):
        store.stand_for(outline.remote.of(name), outline.errors_with_addresses, outline.close)
    weakref.finalize(store, lambda kept: kept.close(), outline)
    return store
