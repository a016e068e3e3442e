"""A variable store over what `flax.serialization.to_bytes` wrote, in one file or several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from linen_core import StoreCapabilities
from linen_store._msgpack import msgpack_restore
from linen_store.errors import (
    BadMsgpackError,
    CheckpointNotFoundError,
    DamagedCheckpointError,
    NotACheckpointError,
)
from linen_store.filesystem.failures import read_failure
from linen_store.filesystem.paths import local_path
from linen_store.formats.flat_names import place, value_spec
from linen_store.formats.orbax.aggregate import leaf_of, tree_of
from linen_store.formats.parts_index import read_index
from linen_store.reading.file_store import LazyStore, ShardingLike
from linen_store.reading.tree import Leaf, Root, Tree, build_tree, leaves_of

__all__ = ["INDEX", "FlaxMsgpackStore"]

INDEX = ".msgpack.index.json"
"""The end of the name of a file that lists the parts of a model."""

_OTHER_PROCESSES = "//GDAPlaceholder:"
"""The placeholder of flax for an array that several processes wrote elsewhere."""


class FlaxMsgpackStore(LazyStore):
    """A read-only store over the bytes of flax: ``.msgpack`` files and the old ``checkpoint_N``.

    A model in several parts has an ``.index.json`` that lists them, as transformers writes it. The
    format has no index of arrays and no checksums: opening reads the whole file, once and for all, so
    the store is not lazy. Sequences and named tuples are stored as dicts, and come as nodes with the names
    ``"0"``, ``"1"``, ... or those of the fields. `to_bytes` makes integer keys strings; those of
    `msgpack_serialize` are integers again in `snapshot`.

    Args:
      path: the file, or the ``.index.json``.
      root: which part of the file holds the collections (see `CheckpointStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      DamagedCheckpointError: the file is damaged, or of another format.
      NotACheckpointError: the arrays are not in the file, which only says where they are.
      UnsafeNameError: the index names a file outside of its folder.
      RootNotFoundError: the file has no collections at ``root``.

    Example:
      >>> import os, tempfile, linen_store.serialization
      >>> path = os.path.join(tempfile.mkdtemp(), "model.msgpack")
      >>> with open(path, "wb") as stream:
      ...     size = stream.write(linen_store.serialization.to_bytes({"params": {"bias": np.arange(2)}}))
      >>> FlaxMsgpackStore(path).get("params", ("bias",))
      array([0, 1])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        root: Root = None,
        *,
        dtype: Any = None,
        sharding: ShardingLike = None,
        unbox: bool = False,
        cache_bytes: int = 1 << 30,
    ) -> None:
        where = local_path(path)
        self._values: dict[tuple[str, ...], Any] = {}
        if where.endswith(INDEX):
            tree, self._values = _read_parts(where)
        else:
            tree = tree_of(where, _read(where), self._values)
        _refuse_elsewhere(where, tree, self._values)
        super().__init__(
            where,
            tree,
            root=root,
            dtype=dtype,
            sharding=sharding,
            unbox=unbox,
            cache_bytes=cache_bytes,
        )

    _reads_parts = False

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=False, lazy=False, thread_safe=True)

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        return [value_spec(self._values[leaf.names]) for leaf in leaves]

    def _load_values(self, leaves: Sequence[Leaf], specs: Sequence[Any]) -> list[Any]:
        arrays = [
            (self._values[leaf.names], leaf, spec)
            for leaf, spec in zip(leaves, specs, strict=True)
            if leaf.kind == "array"
        ]
        placed = iter(place(arrays))
        return [
            next(placed) if leaf.kind == "array" else self._values[leaf.names] for leaf in leaves
        ]


def _read(file: str) -> Any:
    try:
        with open(file, "rb") as stream:
            return msgpack_restore(stream.read())
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(file) from error
    except OSError as error:
        raise read_failure(file, file, error) from error
    except BadMsgpackError as error:
        raise DamagedCheckpointError(file, file, error.reason) from error


def _read_parts(index: str) -> tuple[Tree, dict[tuple[str, ...], Any]]:
    """Read the parts that an index lists: their leaves, and the values by name."""
    placed = read_index(index)
    values: dict[tuple[str, ...], Any] = {}
    for file in sorted(set(placed.values())):
        part: dict[tuple[str, ...], Any] = {}
        tree_of(file, _read(file), part)
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
    """Refuse a file that names arrays instead of holding them."""
    if any(leaf.names not in values for leaf in leaves_of(tree)):
        hint = (
            f"Open the folder {os.path.dirname(os.path.abspath(where))!r}, which holds the arrays."
        )
        raise NotACheckpointError(where, "an index of arrays that lie beside it", hint)
    if any(isinstance(one, str) and one.startswith(_OTHER_PROCESSES) for one in values.values()):
        hint = (
            "Restore it with `flax.training.checkpoints.restore_checkpoint` and a "
            "`gda_manager`, and save it with `linen_store.save`."
        )
        raise NotACheckpointError(where, "arrays that several processes wrote elsewhere", hint)
