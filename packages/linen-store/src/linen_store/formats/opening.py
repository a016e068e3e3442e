"""Opening whatever lies at a path: the format is told from what is there, not from its name."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from linen_core import VariableStore, as_store
from linen_store.errors import (
    AmbiguousCheckpointError,
    KeyMapError,
    NotACheckpointError,
    StoreOptionsError,
)
from linen_store.filesystem.failures import read_failure
from linen_store.filesystem.paths import local_path
from linen_store.filesystem.reopening import opened_whole
from linen_store.formats.flat_names import KeyMap, Layout, check_layout
from linen_store.formats.foreign import FOREIGN_SUFFIXES, READABLE, foreign_file
from linen_store.formats.msgpack_store import INDEX as MSGPACK_INDEX
from linen_store.formats.msgpack_store import FlaxMsgpackStore
from linen_store.formats.npy_store import NpyFolderStore, holds_npy
from linen_store.formats.npz_store import NpzStore
from linen_store.formats.orbax.aggregate import AGGREGATE, is_msgpack
from linen_store.formats.orbax.checkpoint_store import CheckpointStore, Verify, check_verify
from linen_store.formats.orbax.layout import holds_orbax, holds_steps, listed
from linen_store.formats.safetensors_store import INDEX, SafetensorsStore
from linen_store.reading.file_store import LazyStore, ShardingLike
from linen_store.reading.tree import Root

__all__ = ["FLAX_STEP", "OpenOptions", "item_files", "open_store", "opened_store"]

_INDICES = (INDEX, MSGPACK_INDEX)
_SUFFIXES = (".safetensors", ".msgpack", ".npz")
FLAX_STEP = re.compile(r"checkpoint_(\d+(?:\.\d+)?)")
"""The name of the file, or folder, of a step as flax called it."""


class OpenOptions(TypedDict, total=False):
    """The arguments of `open_store` that say which part of which checkpoint is meant, and how it is read."""

    root: Root
    item: str | None
    step: int | None
    key_map: KeyMap
    layout: Layout
    verify: Verify
    unbox: bool
    cache_bytes: int


def open_store(
    path: str | os.PathLike[str],
    root: Root = None,
    *,
    item: str | None = None,
    step: int | None = None,
    key_map: KeyMap = None,
    layout: Layout = None,
    dtype: Any = None,
    sharding: ShardingLike = None,
    verify: Verify = True,
    unbox: bool = False,
    cache_bytes: int = 1 << 30,
) -> LazyStore:
    """Open a checkpoint of any format that can be read.

    These are what Orbax v0 and v1 write (checkpoints, items of them, folders by step), what early
    Orbax and T5X wrote (a file ``checkpoint`` with the values, or with placeholders for arrays of
    zarr beside it), safetensors (a file, or parts with an index), the MessagePack of flax
    (``to_bytes``, the old ``checkpoint_N``, or parts with an index), ``.npz``, and folders of
    ``.npy`` files.

    Args:
      path: a file or a folder; ``~`` is the home folder, and ``file://`` addresses are paths.
      root: which part of it holds the collections (see `CheckpointStore`).
      item: which item of a checkpoint, or which file of a folder, where there are several.
      step: which step of a folder of checkpoints; the newest finished one by default.
      key_map: from flat names to those of variables (see `SafetensorsStore`).
      layout: ``"model"`` where the arrays of a PyTorch file have the layout that the model wants (see
        `SafetensorsStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      verify: how checksums are checked, where the format has them (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: what is there is of no format that can be read.
      UnfinishedCheckpointError: the checkpoint was not finished.
      AmbiguousCheckpointError: ``item`` or ``step`` is needed, or there is no such one.
      KeyMapError: ``key_map`` is given for a format that has no flat names.
      TorchLayoutError: the file is PyTorch's, and ``layout`` is not given.
      UnknownOptionError: ``layout`` or ``verify`` is none of its values.
      ReadFailedError: the system does not let a file be read (`ReadPermissionError`, for example).
      StoreError: the file is damaged, or unsafe.

    Example:
      >>> import tempfile, numpy as np
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/dense/bias": np.zeros(3)})
      >>> open_store(path).spec("params", ("dense", "bias")).shape
      (3,)
    """
    where = local_path(path)
    check_layout(where, (), layout)
    check_verify(verify)
    common: dict[str, Any] = {
        "dtype": dtype,
        "sharding": sharding,
        "unbox": unbox,
        "cache_bytes": cache_bytes,
    }
    flat: dict[str, Any] = {"key_map": key_map, "layout": layout, **common}
    return opened_whole(where, lambda: _open(where, root, item, step, verify, flat, common))


def _open(
    where: str,
    root: Root,
    item: str | None,
    step: int | None,
    verify: Verify,
    flat: dict[str, Any],
    common: dict[str, Any],
) -> LazyStore:
    if os.path.lexists(where) and not os.path.isdir(where):
        for argument, given in (("item", item), ("step", step)):
            if given is not None:
                raise AmbiguousCheckpointError(where, argument, (), given)
        if not _is_aggregate_file(where):
            return _open_file(where, root, flat, common)
        where = os.path.dirname(os.path.abspath(where))
    # Where nothing is, the reader of Orbax looks for what a save left beside it.
    names = listed(where) if os.path.isdir(where) else []
    found = _files_of(where, names, item, step)
    if found == where:
        return NpyFolderStore(where, root, **flat)
    if found is not None:
        inner = None if item in names else item
        return open_store(found, root, item=inner, verify=verify, **flat)
    if flat["key_map"] is not None and names:
        raise KeyMapError(where)
    return CheckpointStore(where, root, item, step, verify=verify, **common)


@contextlib.contextmanager
def opened_store(
    store: VariableStore | Mapping[str, Any] | str | os.PathLike[str], options: OpenOptions
) -> Iterator[VariableStore]:
    """Give the store that an argument means, and close it if it was opened here.

    Raises:
      StoreOptionsError: there are options, and no path that they could be for.
      StoreError: the path cannot be opened.
    """
    if isinstance(store, str | os.PathLike):
        with open_store(store, **options) as opened:
            yield opened
        return
    defaults = inspect.signature(open_store).parameters
    given = [name for name, value in options.items() if value != defaults[name].default]
    if given:
        raise StoreOptionsError(given, type(store).__name__)
    yield as_store(store)


def _is_aggregate_file(where: str) -> bool:
    """Return whether a file is the list of names of a folder that early Orbax or T5X wrote."""
    return os.path.basename(where) == AGGREGATE and _kind_of_file(where) == "msgpack"


def _open_file(where: str, root: Root, flat: dict[str, Any], common: dict[str, Any]) -> LazyStore:
    kind = _kind_of_file(where)
    if kind == "safetensors":
        return SafetensorsStore(where, root, **flat)
    if kind == "npz":
        return NpzStore(where, root, **flat)
    if kind == "msgpack":
        if flat["key_map"] is not None:
            raise KeyMapError(where)
        return FlaxMsgpackStore(where, root, **common)
    raise NotACheckpointError(where, kind, READABLE)


def _kind_of_file(where: str) -> str:
    """Recognise a format by its first bytes.

    Raises:
      NotACheckpointError: the format is known, but not read.
      ReadFailedError: the system does not let the file be read.
    """
    if where.endswith(_INDICES):
        return "msgpack" if where.endswith(MSGPACK_INDEX) else "safetensors"
    try:
        with open(where, "rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise read_failure(where, where, error) from error
    if not head:
        return "an empty file"
    foreign = foreign_file(where, head)
    if foreign is not None:
        raise NotACheckpointError(where, foreign.found, foreign.hint)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the latter where it holds nothing
        return "npz"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    if is_msgpack(head):
        return "msgpack"
    return f"a file that starts with {head!r}"


def item_files(names: list[str]) -> list[str]:
    """Return those names of a folder that are files to open: the indices of several, or each."""
    indices = [name for name in names if name.endswith(_INDICES)]
    return indices or [name for name in names if name.endswith(_SUFFIXES)]


def _files_of(where: str, names: list[str], item: str | None, step: int | None) -> str | None:
    """Find what a folder of other formats than Orbax's means: a file, a step's folder, or itself."""
    if holds_orbax(where, names):
        return None
    steps = {float(match[1]): name for name in names if (match := FLAX_STEP.fullmatch(name))}
    if steps:
        if step is not None and step not in steps:
            raise AmbiguousCheckpointError(
                where, "step", [f"{one:g}" for one in sorted(steps)], step
            )
        return os.path.join(where, steps[max(steps) if step is None else step])
    if item not in names and holds_steps(where, names):
        return None
    candidates = item_files(names)
    if not candidates and item is None and step is None and holds_npy(where):
        return where
    # One file of a format that is not read tells how to convert it.
    candidates = candidates or [name for name in names if name.endswith(FOREIGN_SUFFIXES)][:1]
    if step is not None and candidates:
        raise AmbiguousCheckpointError(where, "step", (), step)
    if item is not None and candidates:
        if item not in names:
            raise AmbiguousCheckpointError(where, "item", candidates, item)
        return os.path.join(where, item)
    if len(candidates) > 1:
        raise AmbiguousCheckpointError(where, "item", candidates)
    return os.path.join(where, candidates[0]) if candidates else None
