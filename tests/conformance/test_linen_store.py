"""The stores of linen_store keep the contract."""

from __future__ import annotations

import linen_store
import linen_store.serialization
from linen_core.testing import StoreTests


def _plain(node):
    """Copy into dicts in the order of storing; `unfreeze` sorts names."""
    is_node = isinstance(node, linen_store.FrozenDict)
    return {name: _plain(child) for name, child in node.items()} if is_node else node


class TestFrozenDictStore(StoreTests):
    def make_store(self, variables, tmp_path):
        return linen_store.FrozenDictStore(variables)

    def read_back(self, store, tmp_path):
        return _plain(store.variables)


class _CheckpointTests(StoreTests):
    sorts_names = True

    def count_reads(self, store):
        return store.stats.leaves


class TestCheckpointStore(_CheckpointTests):
    def make_store(self, variables, tmp_path):
        linen_store.save(tmp_path / "model", variables)
        return linen_store.CheckpointStore(tmp_path / "model")


class TestCompressedCheckpointStore(_CheckpointTests):
    def make_store(self, variables, tmp_path):
        linen_store.save(tmp_path / "model", variables, compression=True)
        return linen_store.CheckpointStore(tmp_path / "model", cache_bytes=0)


class TestFlaxMsgpackStore(StoreTests):
    def make_store(self, variables, tmp_path):
        (tmp_path / "model.msgpack").write_bytes(linen_store.serialization.to_bytes(variables))
        return linen_store.open_store(tmp_path / "model.msgpack")

    def count_reads(self, store):
        return store.stats.leaves
