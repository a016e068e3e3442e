"""Opens a path: the registered formats are asked which of them recognises it."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

from linen_core import VariableStore, as_store
from linen_core.store.registry import find_format
from linen_store.errors import (
    AmbiguousCheckpointError,
    FormatOptionsError,
    KeyMapError,
    StoreOptionsError,
)
from linen_store.filesystem.failures import read_errors
from linen_store.filesystem.paths import local_path, opened_whole
from linen_store.filesystem.remote import is_remote
from linen_store.reading.options import (
    CACHE_BYTES,
    KeyMap,
    Layout,
    OpenOptions,
    Root,
    ShardingLike,
    Verify,
    check_choice,
)
from linen_store.views.maps import MapLike, load_map

__all__ = ["OpenOptions", "open_store", "opened_store", "supported_options"]

_HINTS = {"cache_bytes", "layout", "verify"}
"""Options that a format without a cache, layouts or checksums may leave out."""


def open_store(
    path: str | os.PathLike[str],
    root: Root = None,
    *,
    item: str | None = None,
    step: float | None = None,
    key_map: KeyMap = None,
    layout: Layout = None,
    dtype: Any = None,
    sharding: ShardingLike = None,
    verify: Verify = True,
    unbox: bool = False,
    cache_bytes: int = CACHE_BYTES,
    map: MapLike = None,  # noqa: A002 - users write open_store(path, map=...)
) -> VariableStore:
    """Open a checkpoint of any registered format.

    linen-store registers what Orbax v0 and v1 write (checkpoints, items of them, folders by step), what early Orbax
    and T5X wrote (a file ``checkpoint`` with the values, or with placeholders for zarr arrays beside it), safetensors
    (a file, or parts with an index), the MessagePack of flax (``to_bytes``, the old ``checkpoint_N``, or parts with an
    index), ``.npz``, and folders of ``.npy`` files. `linen_core.store.registry.StoreFormat` describes how to add one.

    Args:
      path: a file or a folder; ``~`` is the home folder, and ``file://`` addresses are paths. Or an address that starts
        with ``s3://``, ``gs://``, ``http://`` or ``https://``.
      root: the part of it that holds the collections (see `CheckpointStore`).
      item: the item of a checkpoint, or the file of a folder, if there are several.
      step: the step of a folder of checkpoints; the newest finished one by default.
      key_map: from flat names to those of variables, as a mapping or a function: names as a tuple, or joined by "/" or
        the format's own separator. None leaves the array out.
      layout: ``"model"`` if the arrays of a PyTorch file have the layout of the model (see `SafetensorsStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: the devices of the arrays (see `CheckpointStore`).
      verify: how checksums are checked, if the format has them (see `CheckpointStore`).
      unbox: take variables out of their boxes (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds.
      map: a `linen_store.views.Map`, or the path of a TOML file with one: the store then has the names and shapes that
        the map describes. Unless ``cache_bytes`` is given, nothing is kept in a cache.

    Raises:
      MapError: the map does not suit the checkpoint.
      RemotePathError: ``path`` is an address of another kind.
      RemoteFailedError: a bucket or server did not answer, or refused.
      CheckpointNotFoundError: nothing is at ``path``.
      NotACheckpointError: the format cannot be read.
      UnfinishedCheckpointError: the checkpoint was not finished.
      AmbiguousCheckpointError: ``item`` or ``step`` is needed, or does not exist.
      KeyMapError: ``key_map`` is given for a format without flat names.
      FormatOptionsError: the format does not support another option that is given.
      TorchLayoutError: the file is PyTorch's, and ``layout`` is not given.
      UnknownOptionError: ``layout`` or ``verify`` is not one of its values.
      ReadFailedError: the system refuses to read a file (`ReadPermissionError`, for example).
      StoreError: the file is damaged, or unsafe.

    Example:
      >>> import tempfile, numpy as np
      >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
      >>> np.savez(path, **{"params/dense/bias": np.zeros(3)})
      >>> open_store(path).spec("params", ("dense", "bias")).shape
      (3,)
    """
    options: dict[str, Any] = {
        "root": root,
        "item": item,
        "step": step,
        "key_map": key_map,
        "layout": layout,
        "dtype": dtype,
        "sharding": sharding,
        "verify": verify,
        "unbox": unbox,
        "cache_bytes": cache_bytes,
    }
    if map is not None:
        found = load_map(map)
        options["layout"] = layout or "model"  # the map says which arrays are transposed
        if cache_bytes == CACHE_BYTES:
            # A cache would keep the arrays of the file beside those that the map forms from them.
            options["cache_bytes"] = 0
        return found.apply(open_store(path, **options))
    check_choice("layout", layout, (None, "model"))
    check_choice("verify", verify, (True, False, "files"))
    where = os.fsdecode(path) if is_remote(path) else local_path(path)
    if item is not None and os.path.isfile(os.path.join(where, item)):
        return open_store(os.path.join(where, item), **{**options, "item": None})
    return opened_whole(where, lambda: _open_recognised(where, _changed(options)))


def _open_recognised(where: str, options: dict[str, Any]) -> VariableStore:
    with read_errors(where, where):  # too many open files, for example
        found = find_format(where)
    store: VariableStore = found(where, **supported_options(found, where, options))
    return store


def supported_options(found: Any, where: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a format takes. Hints that it does not take are left out.

    Args:
      found: the format.
      where: the path, for errors.
      options: the options that are given.

    Raises:
      AmbiguousCheckpointError: the format has no items or steps, and one is given.
      KeyMapError: it has no flat names, and ``key_map`` is given.
      FormatOptionsError: it does not support another option.
    """
    supported = _supported(found)
    for name in sorted(set(options) - supported):
        if name in ("item", "step"):
            raise AmbiguousCheckpointError(where, name, (), options[name])
        if name == "key_map":
            raise KeyMapError(where)
        if name not in _HINTS:
            raise FormatOptionsError(where, name, sorted(supported))
    return {name: value for name, value in options.items() if name in supported}


def _supported(found: Any) -> set[str]:
    """Return the names of the options that a format takes: its parameters, and `option_names` for ``**options``."""
    parameters = inspect.signature(found).parameters.values()
    names = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    if len(names) == len(parameters):
        return names
    return names | set(getattr(found, "option_names", OpenOptions.__annotations__))


def _changed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that differ from the defaults of `open_store`."""
    defaults = inspect.signature(open_store).parameters
    return {name: one for name, one in options.items() if one is not defaults[name].default}


@contextlib.contextmanager
def opened_store(
    store: VariableStore | Mapping[str, Any] | str | os.PathLike[str],
    options: OpenOptions | None = None,
) -> Iterator[VariableStore]:
    """Yield the store that an argument describes. If it is a path, the store is closed afterwards.

    Raises:
      StoreOptionsError: there are options, and ``store`` is not a path.
      StoreError: the path cannot be opened.
    """
    given = _changed({**(options or {})})
    if isinstance(store, str | os.PathLike):
        with open_store(store, **given) as opened:
            yield opened
        return
    if (found := given.pop("map", None)) is not None:
        store = load_map(found).apply(store)
    if given:
        raise StoreOptionsError(list(given), type(store).__name__)
    yield as_store(store)
