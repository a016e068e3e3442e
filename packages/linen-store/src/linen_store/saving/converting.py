"""Writing what any store holds in another format, one array in memory at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore, as_store
from linen_store.errors import (
    CheckpointExistsError,
    NotACheckpointError,
    UncompressedFormatError,
    UnknownFormatError,
)
from linen_store.filesystem.atomic_replace import publish, workshop
from linen_store.filesystem.failures import save_failures
from linen_store.filesystem.paths import local_path
from linen_store.formats.opening import open_store
from linen_store.reading.progress import Progress, Tell, reporting
from linen_store.reading.specs import nbytes
from linen_store.restoring.matching import Names, arrays_of
from linen_store.saving.checkpoint import check_target, save

__all__ = ["FORMATS", "Format", "convert"]

_STAGED_BYTES = 1 << 20
"""Arrays from this size on are staged in a file."""

_ALIGNMENT = 64

Format = Literal["orbax", "safetensors", "npz", "msgpack"]
FORMATS = ("orbax", "safetensors", "npz", "msgpack")
_COMPRESSIBLE = ("orbax", "npz")
# Nobody who ends a name so means a folder of Orbax.
_FOREIGN = (
    ".bin",
    ".eqx",
    ".gguf",
    ".h5",
    ".hdf5",
    ".json",
    ".npy",
    ".onnx",
    ".pickle",
    ".pkl",
    ".pt",
    ".pth",
    ".zip",
)


def convert(
    source: VariableStore | Mapping[str, Any] | str | os.PathLike[str],
    path: str | os.PathLike[str],
    to: Format | None = None,
    *,
    overwrite: bool = False,
    compression: bool = False,
    progress: Progress = False,
) -> None:
    """Write what a store holds in another format, one array in memory at a time.

    An Orbax checkpoint holds everything. The other formats have no PRNG keys; safetensors and ``.npz``
    have arrays and numbers only, and neither keeps a node without any. Safetensors joins names by dots,
    ``.npz`` by slashes.

    Args:
      source: a store, a mapping of variables, or the path of anything that `open_store` opens.
      path: where to write.
      to: ``"orbax"``, ``"safetensors"``, ``"npz"`` or ``"msgpack"`` (that of flax). By default the ending
        of ``path`` tells, ``.safetensors``, ``.npz`` or ``.msgpack``; any other path becomes an Orbax
        checkpoint, except one that ends as a file of another program does.
      overwrite: whether what is at ``path`` is replaced.
      compression: whether an Orbax checkpoint or an ``.npz`` is compressed.
      progress: whether to show a progress bar, where rich is installed; or a function that is called with
        the number of bytes read so far and in all.

    Raises:
      UnknownFormatError: ``to``, or the ending of ``path``, is no format that can be written.
      UncompressedFormatError: ``compression`` is given for a format without any.
      CheckpointExistsError: something is at ``path``, and ``overwrite`` is False.
      DottedNameError: the format would split a name.
      UnsupportedLeafError: the format cannot hold a value.
      SaveFailedError: writing failed, for example because the disk is full.
      StoreError: the source cannot be read, or the target not be written.

    Example:
      >>> import tempfile
      >>> folder = tempfile.mkdtemp()
      >>> variables = {"params": {"bias": np.zeros(3, np.float32)}}
      >>> convert(variables, os.path.join(folder, "model.safetensors"))
      >>> convert(os.path.join(folder, "model.safetensors"), os.path.join(folder, "model"))
      >>> open_store(os.path.join(folder, "model")).get("params", ("bias",))
      Array([0., 0., 0.], dtype=float32)
    """
    target = os.path.abspath(local_path(path))
    chosen = _chosen_format(target, to)
    if compression and chosen not in _COMPRESSIBLE:
        raise UncompressedFormatError(target, chosen, _COMPRESSIBLE)
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            # Nothing is read twice: a cache would only keep arrays in memory.
            store: VariableStore = stack.enter_context(open_store(source, cache_bytes=0))
        else:
            store = as_store(source)
        total = sum(nbytes(one.spec) for one in arrays_of(store)) if progress else 0
        tell = stack.enter_context(reporting(progress, total)) or _tell_nobody
        if chosen == "orbax":
            _write_orbax(store, target, overwrite, compression, tell)
        else:
            _write_file(store, target, overwrite, compression, chosen, tell)


def _tell_nobody(_size: int) -> None:
    """Take the place of a report that nobody wants."""


def _chosen_format(target: str, to: str | None) -> str:
    if to is not None:
        if to not in FORMATS:
            raise UnknownFormatError(to, FORMATS)
        return to
    ending = os.path.splitext(target)[1].lower()
    if ending in _FOREIGN:
        raise UnknownFormatError(ending, FORMATS)
    return ending[1:] if ending[1:] in FORMATS else "orbax"


def _write_orbax(
    store: VariableStore, target: str, overwrite: bool, compression: bool, tell: Tell
) -> None:
    check_target(target, overwrite)
    with save_failures(target), workshop(target) as folder:
        with open(os.path.join(folder, "arrays"), "w+b") as stream:
            staged = {name: _staged(store, name, (), stream, tell) for name in store.collections()}
        save(target, staged, overwrite, compression=compression)


def _write_file(
    store: VariableStore,
    target: str,
    overwrite: bool,
    compression: bool,
    chosen: str,
    tell: Tell,
) -> None:
    if os.path.lexists(target) and not overwrite:
        raise CheckpointExistsError(target)
    if os.path.isdir(target):
        raise NotACheckpointError(target, "a folder", "Only a file is overwritten by a file.")
    from linen_store.formats import writers

    write: writers.FileWriter = getattr(writers, f"write_{chosen}")
    with save_failures(target), workshop(target) as folder:
        finished = os.path.join(folder, "file")
        with open(finished, "wb") as stream:
            write(store, target, stream, compression, tell)
            stream.flush()
            os.fsync(stream.fileno())
        publish(finished, target, overwrite=overwrite)


def _staged(
    store: VariableStore, collection: str, path: Names, stream: BinaryIO, tell: Tell
) -> Any:
    """Copy a node into a file, array by array, and give it back with the arrays mapped from there.

    Orbax wants all arrays at once. Mapped from a file, they take no memory that the system could
    not have back at any moment.
    """
    spec = store.spec(collection, path)
    if isinstance(spec, dict):
        return {name: _staged(store, collection, (*path, name), stream, tell) for name in spec}
    value = jax.tree.map(lambda leaf: _mapped(leaf, stream), store.get(collection, path))
    tell(sum(map(nbytes, jax.tree.leaves(spec))))
    return value


def _mapped(leaf: Any, stream: BinaryIO) -> Any:
    # The masked would lose their masks here, and are refused later.
    is_plain = isinstance(leaf, np.ndarray | jax.Array) and not isinstance(leaf, np.ma.MaskedArray)
    size = leaf.nbytes if is_plain else 0
    if size < _STAGED_BYTES or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return leaf
    array = np.ascontiguousarray(leaf)
    stream.seek(-(-stream.seek(0, os.SEEK_END) // _ALIGNMENT) * _ALIGNMENT)
    start = stream.tell()
    stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()
    raw = np.memmap(stream.name, np.uint8, "r", offset=start, shape=(size,))
    mapped: Any = raw.view(array.dtype).reshape(array.shape)
    # On a CPU, JAX takes memory of this alignment over as it is.
    return jax.device_put(mapped, jax.devices("cpu")[0]) if isinstance(leaf, jax.Array) else mapped
