"""Converts any store to another format, with one array in memory at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal, TypeAlias

import jax
import numpy as np

from linen_core import VariableStore, as_store
from linen_core.store.registry import format_suffixes, registered_formats
from linen_store.errors import (
    UncompressedFormatError,
    UnknownFormatError,
    UnsupportedLeafError,
)
from linen_store.filesystem.failures import save_failures
from linen_store.formats.foreign import FOREIGN_SUFFIXES
from linen_store.formats.opening import opened_store
from linen_store.formats.writing import WriteJob
from linen_store.reading.buffers import ALIGNMENT
from linen_store.reading.options import OpenOptions
from linen_store.reading.progress import Progress, Report, reporting
from linen_store.reading.specs import is_key, nbytes
from linen_store.reading.stored import Names, arrays_of
from linen_store.saving.checkpoint import TIMEOUT, save, save_with_hooks
from linen_store.saving.processes import Processes
from linen_store.saving.target import absolute, check_file_target, check_target, publish, staging
from linen_store.saving.together import agree_on_call
from linen_store.views.maps import MapLike

__all__ = ["Format", "convert", "writable_formats"]

_STAGED_BYTES = 1 << 20
"""Arrays of at least this size are copied to a file first."""

_ORBAX = "orbax"
"""The format of `save`, for paths whose suffix does not name another."""

Format: TypeAlias = Literal["orbax", "safetensors", "npz", "msgpack"] | str  # noqa: PYI051 - for readers and editors
"""The name of a format: one of these, or of another package (see `linen_store.formats.writing.WritableFormat`)."""

# Suffixes of other programs: a folder of Orbax with such a name would be a mistake. Only .ckpt is common for both.
_FOREIGN = {*FOREIGN_SUFFIXES, ".json", ".npy", ".onnx", ".zip"} - {".ckpt"}


def convert(
    source: VariableStore | Mapping[str, Any] | str | os.PathLike[str],
    path: str | os.PathLike[str],
    to: Format | None = None,
    *,
    overwrite: bool = False,
    compression: bool = False,
    progress: Progress = False,
    map: MapLike = None,  # noqa: A002 - users write convert(path, target, map=...)
) -> None:
    """Write the values of a store in another format, with one array in memory at a time.

    An Orbax checkpoint holds everything. The other formats have no PRNG keys; safetensors and ``.npz`` have arrays and
    numbers only, and drop nodes without any. Safetensors joins names by dots, ``.npz`` by slashes.

    If several processes of JAX run together, each of them calls this, and process 0 converts. Variables that are spread
    over processes become an Orbax checkpoint, to which each process writes its shards.

    Args:
      source: a store, a mapping of variables, or a path that `open_store` opens.
      path: the target, a path or an address in a bucket.
      to: ``"orbax"``, ``"safetensors"``, ``"npz"``, ``"msgpack"`` (that of flax), or the name of another registered
        format that can be written. By default, the suffix of ``path`` decides; a path without such a suffix becomes an
        Orbax checkpoint, and one with the suffix of another program is refused.
      overwrite: replace the file or folder at ``path``.
      compression: compress the arrays of an Orbax checkpoint or an ``.npz``.
      progress: True for a progress bar, which needs rich; or a function of the bytes read so far and the bytes in all.
      map: a `linen_store.views.Map`, or the path of its TOML file, from the names and shapes of the source to those of
        the target.

    Raises:
      MapError: the map does not suit the source.
      UnknownFormatError: ``to``, or the suffix of ``path``, is not a format that can be written.
      UncompressedFormatError: ``compression`` is given for a format without it.
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      DottedNameError: the format would split a name.
      UnsupportedLeafError: the format cannot hold a value.
      SaveFailedError: writing failed, for example because the disk is full.
      StoreError: the source cannot be read, or the target cannot be written.

    Example:
      >>> import tempfile, linen_store
      >>> folder = tempfile.mkdtemp()
      >>> variables = {"params": {"bias": np.zeros(3, np.float32)}}
      >>> convert(variables, os.path.join(folder, "model.safetensors"))
      >>> convert(os.path.join(folder, "model.safetensors"), os.path.join(folder, "model"))
      >>> linen_store.open_store(os.path.join(folder, "model")).get("params", ("bias",))
      Array([0., 0., 0.], dtype=float32)
    """

    def check() -> tuple[str, str]:
        return _checked_target(path, to, compression)

    def write() -> None:
        target, chosen = check()
        opening: OpenOptions = {"map": map}
        if isinstance(source, str | os.PathLike):
            # Each array is read once: a cache would only keep all of them in memory.
            opening["cache_bytes"] = 0
        with opened_store(source, opening) as store:
            total = sum(nbytes(one.spec) for one in arrays_of(store)) if progress else 0
            with reporting(progress, total) as report:
                add = report or _ignore
                if chosen == _ORBAX:
                    _write_orbax(store, target, overwrite, compression, add)
                else:
                    _write_file(store, target, chosen, overwrite, compression, add)

    if jax.process_count() == 1:
        write()
        return
    spread = None if isinstance(source, str | os.PathLike) else _spread_over_processes(source)
    if spread is not None:
        target, chosen = check()
        if chosen != _ORBAX or map is not None:
            what = "an array that is spread over processes"
            raise UnsupportedLeafError(target, spread, what, chosen)
        save(path, source, overwrite, compression=compression)
        return
    options = {"to": to, "overwrite": overwrite, "compression": compression}
    processes = Processes(str(path), TIMEOUT)
    with processes.alive():
        agree_on_call("convert", str(path), processes, options, lambda: check()[0])
        if processes.is_first:
            processes.together("converted", write)
        else:
            processes.wait_for("converted")


def _checked_target(
    path: str | os.PathLike[str], to: str | None, compression: bool
) -> tuple[str, str]:
    """Return the absolute path and the format, or raise if it is unknown or has no compression."""
    target = absolute(path)
    writable = writable_formats()
    chosen = _chosen_format(target, to, writable)
    compressible = [
        name for name, found in writable.items() if getattr(found, "compressible", False)
    ]
    if compression and chosen != _ORBAX and chosen not in compressible:
        raise UncompressedFormatError(target, chosen, [_ORBAX, *compressible])
    return target, chosen


def _spread_over_processes(source: VariableStore | Mapping[str, Any]) -> Names | None:
    """Return the names of an array of which other processes hold parts, or None."""
    for one in arrays_of(as_store(source)):
        sharding = getattr(one.spec, "sharding", None)
        if sharding is not None and not sharding.is_fully_addressable:
            return one.names
    return None


def writable_formats() -> dict[str, Any]:
    """Return the registered formats that can be written as one file, by name.

    Example:
      >>> sorted(writable_formats())
      ['msgpack', 'npz', 'safetensors']
    """
    found = registered_formats()
    return {name: one for name, one in found.items() if hasattr(one, "write_store")}


def _ignore(_size: int) -> None:
    """Take a report that is not shown."""


def _chosen_format(target: str, to: str | None, writable: Mapping[str, Any]) -> str:
    names = (_ORBAX, *writable)
    if to is not None:
        if to not in names:
            raise UnknownFormatError(to, names)
        return to
    ending = os.path.splitext(target)[1].lower()
    for name, found in writable.items():
        if ending in format_suffixes(name, found):
            return name
    if ending in _FOREIGN:
        raise UnknownFormatError(ending, names)
    return _ORBAX


def _write_orbax(
    store: VariableStore, target: str, overwrite: bool, compression: bool, report: Report
) -> None:
    check_target(target, overwrite)
    with save_failures(target), staging(target) as folder:
        with open(os.path.join(folder, "arrays"), "w+b") as stream:
            staged = {
                name: _staged(store, name, (), stream, report) for name in store.collections()
            }
        # This process alone converts, also if others run beside it.
        save_with_hooks(target, staged, overwrite, compression=compression, timeout=None)


def _write_file(
    store: VariableStore,
    target: str,
    chosen: str,
    overwrite: bool,
    compression: bool,
    report: Report,
) -> None:
    check_file_target(target, overwrite)
    with save_failures(target), staging(target) as folder:
        finished = os.path.join(folder, "file")
        with open(finished, "wb") as stream:
            job = WriteJob(store, stream, target, compression, report)
            writable_formats()[chosen].write_store(job)
            stream.flush()
            os.fsync(stream.fileno())
        publish(finished, target, overwrite=overwrite)


def _staged(
    store: VariableStore, collection: str, path: Names, stream: BinaryIO, report: Report
) -> Any:
    """Copy the arrays of a node to a file one by one, and return the node with arrays that are mapped from the file.

    Orbax takes all arrays at once. The system can reclaim the memory of arrays that are mapped from a file.
    """
    spec = store.spec(collection, path)
    if isinstance(spec, dict):
        return {name: _staged(store, collection, (*path, name), stream, report) for name in spec}
    value = jax.tree.map(lambda leaf: _mapped(leaf, stream), store.get(collection, path))
    report(sum(map(nbytes, jax.tree.leaves(spec))))
    return value


def _mapped(leaf: Any, stream: BinaryIO) -> Any:
    # Masked arrays would lose their masks here. `save` refuses them.
    is_plain = isinstance(leaf, np.ndarray | jax.Array) and not isinstance(leaf, np.ma.MaskedArray)
    size = leaf.nbytes if is_plain else 0
    if size < _STAGED_BYTES or is_key(leaf):
        return leaf
    array = np.ascontiguousarray(leaf)
    stream.seek(-(-stream.seek(0, os.SEEK_END) // ALIGNMENT) * ALIGNMENT)
    start = stream.tell()
    stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()
    raw = np.memmap(stream.name, np.uint8, "r", offset=start, shape=(size,))
    mapped: Any = raw.view(array.dtype).reshape(array.shape)
    # On a CPU, JAX does not copy memory of this alignment.
    return (
        jax.device_put(mapped, jax.local_devices(backend="cpu")[0])
        if isinstance(leaf, jax.Array)
        else mapped
    )
