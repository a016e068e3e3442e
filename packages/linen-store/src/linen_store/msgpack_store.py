"""A variable store over a file that `flax.serialization.to_bytes` wrote."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from linen_core import StoreCapabilities
from linen_store._files import place
from linen_store._msgpack import msgpack_restore
from linen_store._paths import local_path
from linen_store._specs import array_spec
from linen_store._tree import Leaf, Root, Tree
from linen_store.errors import BadMsgpackError, CheckpointNotFoundError, DamagedCheckpointError
from linen_store.lazy_store import LazyStore, ShardingLike

__all__ = ["FlaxMsgpackStore"]


class FlaxMsgpackStore(LazyStore):
    """A read-only store over the bytes of flax: ``.msgpack`` files and the old ``checkpoint_N``.

    The format has no index and no checksums: opening reads the whole file, so the store is not
    lazy. Sequences and named tuples are stored as dicts, and come as nodes with the names ``"0"``,
    ``"1"``, ... or those of the fields.

    Args:
      path: the file.
      root: which part of the file holds the collections (see `CheckpointStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where arrays are put (see `CheckpointStore`).
      cache_bytes: the most memory that the cache holds on to.

    Raises:
      RemotePathError: ``path`` is the address of an object store.
      CheckpointNotFoundError: nothing is at ``path``.
      DamagedCheckpointError: the file is damaged, or of another format.
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
        cache_bytes: int = 1 << 30,
    ) -> None:
        where = local_path(path)
        try:
            with open(where, "rb") as stream:
                restored = msgpack_restore(stream.read())
        except FileNotFoundError as error:
            raise CheckpointNotFoundError(where) from error
        except OSError as error:
            raise DamagedCheckpointError(where, where, error.strerror or str(error)) from error
        except BadMsgpackError as error:
            raise DamagedCheckpointError(where, where, error.reason) from error
        self._values: dict[tuple[str, ...], Any] = {}
        tree = self._described(where, restored, ())
        super().__init__(
            where, tree, root=root, dtype=dtype, sharding=sharding, cache_bytes=cache_bytes
        )

    @property
    def capabilities(self) -> StoreCapabilities:
        return StoreCapabilities(writable=False, lazy=False, thread_safe=True)

    def _described(self, where: str, value: Any, names: tuple[str, ...]) -> Tree:
        if isinstance(value, dict):
            if len(set(map(str, value))) != len(value):
                raise DamagedCheckpointError(where, where, f"{list(value)} are no different names")
            return {
                str(name): self._described(where, child, (*names, str(name)))
                for name, child in value.items()
            }
        if isinstance(value, list):
            return [
                self._described(where, child, (*names, str(i))) for i, child in enumerate(value)
            ]
        self._values[names] = value
        return Leaf(names, "array" if isinstance(value, np.ndarray) else "scalar")

    def _load_specs(self, leaves: Sequence[Leaf]) -> list[Any]:
        return [_spec(self._values[leaf.names]) for leaf in leaves]

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


def _spec(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return array_spec(value.shape, value.dtype)
    if isinstance(value, bool | int | float | complex):
        return array_spec((), np.result_type(value))
    return value
