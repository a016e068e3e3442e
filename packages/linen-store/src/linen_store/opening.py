"""Opening whatever lies at a path: the format is told from what is there, not from its name."""

from __future__ import annotations

import os
import re
from typing import Any

from linen_store._files import KeyMap
from linen_store._layout import holds_orbax, holds_steps, listed
from linen_store._paths import local_path
from linen_store._tree import Root
from linen_store.checkpoint_store import CheckpointStore, Verify
from linen_store.errors import (
    AmbiguousCheckpointError,
    KeyMapError,
    NotACheckpointError,
)
from linen_store.lazy_store import LazyStore, ShardingLike
from linen_store.msgpack_store import FlaxMsgpackStore
from linen_store.npz_store import NpzStore
from linen_store.safetensors_store import INDEX, SafetensorsStore

__all__ = ["open_store"]

_SUFFIXES = (".safetensors", ".msgpack", ".npz")
_FLAX_STEP = re.compile(r"checkpoint_(\d+(?:\.\d+)?)")
# A map of MessagePack, empty, short, or with a length of 16 or 32 bits, and its first key, a string.
_MSGPACK = re.compile(rb"\x80\Z|(?:[\x81-\x8f]|\xde.{2}|\xdf.{4})[\xa0-\xbf\xd9-\xdb]", re.DOTALL)
_PICKLE = re.compile(rb"\x80[\x02-\x05].", re.DOTALL)
_READABLE = (
    "Readable are Orbax checkpoints, safetensors, the MessagePack of flax and npz; check the path."
)


def open_store(
    path: str | os.PathLike[str],
    root: Root = None,
    *,
    item: str | None = None,
    step: int | None = None,
    key_map: KeyMap = None,
    dtype: Any = None,
    sharding: ShardingLike = None,
    verify: Verify = True,
    unbox: bool = False,
    cache_bytes: int = 1 << 30,
) -> LazyStore:
    """Open a checkpoint of any format that can be read.

    These are what Orbax v0 and v1 write (checkpoints, items of them, folders by step), safetensors
    (a file, or parts with an index), the MessagePack files of flax (``to_bytes``, the old
    ``checkpoint_N``), and ``.npz``.

    Args:
      path: a file or a folder.
      root: which part of it holds the collections (see `CheckpointStore`).
      item: which item of a checkpoint, or which file of a folder, where there are several.
      step: which step of a folder of checkpoints; the newest finished one by default.
      key_map: from flat names to those of variables (see `SafetensorsStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      verify: how checksums are checked (see `CheckpointStore`).
      unbox: whether the boxes of an Orbax checkpoint are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: what is there is of no format that can be read.
      UnfinishedCheckpointError: the checkpoint was not finished.
      AmbiguousCheckpointError: ``item`` or ``step`` is needed, or there is no such one.
      KeyMapError: ``key_map`` is given for a format that has no flat names.
      StoreError: the file is damaged, or unsafe.

    Example:
      >>> import tempfile, numpy as np
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/dense/bias": np.zeros(3)})
      >>> open_store(path).spec("params", ("dense", "bias")).shape
      (3,)
    """
    where = local_path(path)
    common: dict[str, Any] = {"dtype": dtype, "sharding": sharding, "cache_bytes": cache_bytes}
    if os.path.lexists(where) and not os.path.isdir(where):
        for argument, given in (("item", item), ("step", step)):
            if given is not None:
                raise AmbiguousCheckpointError(where, argument, (), given)
        return _open_file(where, root, key_map, common)
    # Where nothing is, the reader of Orbax looks for what a save left beside it.
    names = listed(where) if os.path.isdir(where) else []
    found = _files_of(where, names, item, step)
    if found is not None:
        inner = None if item in names else item
        more = {"key_map": key_map, "verify": verify, "unbox": unbox, **common}
        return open_store(found, root, item=inner, **more)
    if key_map is not None and names:
        raise KeyMapError(where)
    return CheckpointStore(where, root, item, step, verify=verify, unbox=unbox, **common)


def _open_file(where: str, root: Root, key_map: KeyMap, common: dict[str, Any]) -> LazyStore:
    kind = _kind_of_file(where)
    if kind == "safetensors":
        return SafetensorsStore(where, root, key_map=key_map, **common)
    if kind == "npz":
        return NpzStore(where, root, key_map=key_map, **common)
    if kind == "msgpack":
        if key_map is not None:
            raise KeyMapError(where)
        return FlaxMsgpackStore(where, root, **common)
    raise NotACheckpointError(where, kind, _READABLE)


def _kind_of_file(where: str) -> str:
    """Tell a format by its first bytes."""
    if where.endswith(INDEX):
        return "safetensors"
    try:
        with open(where, "rb") as stream:
            head = stream.read(16)
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    if not head:
        return "an empty file"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the latter where it holds nothing
        return "npz"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return "safetensors"
    if _PICKLE.match(head):
        return "a pickle, which would run code"
    if _MSGPACK.match(head):
        return "msgpack"
    return f"a file that starts with {head!r}"


def _files_of(where: str, names: list[str], item: str | None, step: int | None) -> str | None:
    """Find the file, or the step's folder, that a folder of other formats than Orbax's means."""
    if holds_orbax(where, names):
        return None
    steps = {float(match[1]): name for name in names if (match := _FLAX_STEP.fullmatch(name))}
    if steps:
        if step is not None and step not in steps:
            raise AmbiguousCheckpointError(
                where, "step", [f"{one:g}" for one in sorted(steps)], step
            )
        return os.path.join(where, steps[max(steps) if step is None else step])
    if item not in names and holds_steps(where, names):
        return None
    candidates = [name for name in names if name.endswith(INDEX)]
    candidates = candidates or [name for name in names if name.endswith(_SUFFIXES)]
    if step is not None and candidates:
        raise AmbiguousCheckpointError(where, "step", (), step)
    if item is not None and candidates:
        if item not in names:
            raise AmbiguousCheckpointError(where, "item", candidates, item)
        return os.path.join(where, item)
    if len(candidates) > 1:
        raise AmbiguousCheckpointError(where, "item", candidates)
    return os.path.join(where, candidates[0]) if candidates else None
