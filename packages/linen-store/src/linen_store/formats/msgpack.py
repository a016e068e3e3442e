"""The MessagePack of `flax.serialization.to_bytes`, in one file or several: recognised, opened and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax
import numpy as np

from linen_store._msgpack import msgpack_restore
from linen_store.errors import (
    BadMsgpackError,
    DamagedCheckpointError,
    NameCollisionError,
    NotACheckpointError,
    UnencodableNameError,
    UnsupportedLeafError,
    UnsupportedStateError,
)
from linen_store.filesystem.failures import first_bytes, read_errors
from linen_store.filesystem.paths import local_path
from linen_store.formats.msgpack_tree import is_msgpack, leaf_of, tree_of
from linen_store.formats.orbax.aggregate import AGGREGATE
from linen_store.formats.parts_index import read_index
from linen_store.formats.writing import MASKED, WriteJob
from linen_store.reading.device import place, value_spec
from linen_store.reading.file_store import FileStore
from linen_store.reading.options import ReadOptions, Root
from linen_store.reading.specs import is_text, nbytes
from linen_store.reading.stored import Names
from linen_store.reading.tree import Leaf, Tree, build_tree, leaves_of
from linen_store.serialization import to_bytes

__all__ = ["FlaxMsgpackStore"]

_MSGPACK_INDEX = ".msgpack.index.json"
"""Suffix of a file that lists the parts of a model."""

_OTHER_PROCESSES = "//GDAPlaceholder:"
"""Prefix of the placeholder of flax for an array that several processes wrote elsewhere."""


class FlaxMsgpackStore(FileStore):
    """A read-only store over the bytes of flax: ``.msgpack`` files and the old ``checkpoint_N``.

    The format has no index of arrays: opening reads the whole file, once, and the store is not lazy. A model in
    several parts has an ``.index.json`` that lists them, as transformers writes it. The format has no checksums.
    Sequences and named tuples are stored as dicts: they become nodes with the names ``"0"``, ``"1"``, ... or those of
    the fields. `to_bytes` writes integer keys as strings; `snapshot` restores those of `msgpack_serialize`.

    Args:
      path: the file, or the ``.index.json``.
      root: the part of the file that holds the collections (see `CheckpointStore`).
      **options: ``dtype``, ``sharding``, ``unbox`` and ``cache_bytes``, as for `open_store`.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      DamagedCheckpointError: the file is damaged, or of another format.
      NotACheckpointError: the file does not hold the arrays, but only their places.
      UnsafeNameError: the index names a file outside its folder.
      RootNotFoundError: the file has no collections at ``root``.

    Example:
      >>> import os, tempfile, linen_store.serialization
      >>> path = os.path.join(tempfile.mkdtemp(), "model.msgpack")
      >>> with open(path, "wb") as stream:
      ...     size = stream.write(linen_store.serialization.to_bytes({"params": {"bias": np.arange(2)}}))
      >>> FlaxMsgpackStore(path).get("params", ("bias",))
      array([0, 1])
    """

    suffixes: ClassVar = (".msgpack",)

    def __init__(
        self, path: str | os.PathLike[str], root: Root = None, **options: Unpack[ReadOptions]
    ) -> None:
        where = local_path(path)
        self._values: dict[tuple[str, ...], Any] = {}
        if where.endswith(_MSGPACK_INDEX):
            tree, self._values = _read_msgpack_parts(where)
        else:
            tree = tree_of(where, _read_file(where), self._values)
        _refuse_elsewhere(where, tree, self._values)
        super().__init__(where, tree, root=root, **options)

    @classmethod
    def recognizes(cls, path: str) -> bool:
        """Return whether a file starts with a map of MessagePack, or is an index of parts."""
        is_aggregate = (
            os.path.basename(path) == AGGREGATE
        )  # of early Orbax, whose arrays lie beside it
        return path.endswith(_MSGPACK_INDEX) or (is_msgpack(first_bytes(path)) and not is_aggregate)

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        return [value_spec(self._values[leaf.names]) for leaf in leaves]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        values = {leaf.names: self._values[leaf.names] for leaf in leaves}
        arrays = [
            (values[leaf.names], leaf, spec)
            for leaf, spec in zip(leaves, specs, strict=True)
            if leaf.kind in ("array", "numpy")
        ]
        for (_, leaf, _), value in zip(arrays, place(arrays), strict=True):
            values[leaf.names] = value
        return list(values.values())

    @staticmethod
    def write_store(job: WriteJob) -> None:
        """Write the bytes that ``flax.serialization.to_bytes`` gives for the nested dict.

        Raises:
          UnsupportedLeafError: MessagePack cannot hold a value.
        """
        _pack_node(job, {name: job.store.spec(name) for name in job.store.collections()}, ())


def _read_file(file: str) -> Any:
    with read_errors(file, damage=(BadMsgpackError,)), open(file, "rb") as stream:
        return msgpack_restore(stream.read())


def _read_msgpack_parts(index: str) -> tuple[Tree, dict[tuple[str, ...], Any]]:
    """Read the parts that an index lists: their leaves, and the values by name."""
    placed = read_index(index)
    values: dict[tuple[str, ...], Any] = {}
    for file in sorted(set(placed.values())):
        part: dict[tuple[str, ...], Any] = {}
        tree_of(file, _read_file(file), part)
        for names, value in part.items():
            name = "/".join(names)
            if placed.get(name) != file:
                raise DamagedCheckpointError(
                    index, file, f"the index does not place {name!r} there"
                )
            # A part is nested, or flat with names that are joined by slashes.
            values[tuple(name.split("/"))] = value
    for name, file in placed.items():
        if tuple(name.split("/")) not in values:
            raise DamagedCheckpointError(index, file, f"{name!r} is missing")
    entries = ((names, (False,) * len(names), leaf_of(names, values[names])) for names in values)
    try:
        return build_tree(entries), values
    except ValueError as error:
        raise DamagedCheckpointError(index, index, str(error)) from error


def _refuse_elsewhere(where: str, tree: Tree, values: dict[tuple[str, ...], Any]) -> None:
    """Raise if a file names arrays instead of holding them."""
    if any(leaf.names not in values for leaf in leaves_of(tree)):
        folder = os.path.dirname(os.path.abspath(where))
        hint = f"Open the folder {folder!r}, which holds the arrays."
        raise NotACheckpointError(where, "an index of arrays that lie beside it", hint)
    if any(isinstance(one, str) and one.startswith(_OTHER_PROCESSES) for one in values.values()):
        hint = (
            "Restore it with `flax.training.checkpoints.restore_checkpoint` and a "
            "`gda_manager`, and save it with `linen_store.save`."
        )
        raise NotACheckpointError(where, "arrays that several processes wrote elsewhere", hint)


def _pack_node(job: WriteJob, spec: Any, names: Names) -> None:
    import msgpack  # type: ignore[import-untyped]

    if not isinstance(spec, dict):
        job.stream.write(_packed(job.store.get(names[0], names[1:]), names, job.target))
        job.report(sum(map(nbytes, jax.tree.leaves(spec))))
        return
    job.stream.write(msgpack.Packer().pack_map_header(len(spec)))
    seen: dict[str, Any] = {}
    for name, child in spec.items():
        text = str(name)
        if not is_text(text):
            raise UnencodableNameError(job.target, (*names, text))
        if text in seen:
            first, second = (*names, repr(seen[text])), (*names, repr(name))
            raise NameCollisionError(job.target, text, first, second)
        seen[text] = name
        job.stream.write(msgpack.packb(text))
        _pack_node(job, child, (*names, name))


def _packed(value: Any, names: Names, target: str) -> bytes:
    if isinstance(value, np.ma.MaskedArray):
        raise UnsupportedLeafError(target, names, MASKED)
    try:
        return to_bytes(value)
    except UnsupportedStateError as error:
        raise UnsupportedLeafError(target, names, error.found, "msgpack") from error
