"""The default store keeps the contract, over a mapping that may be changed and over one that may not."""

from __future__ import annotations

from types import MappingProxyType

from linen_core.store import MemoryStore
from linen_core.testing import StoreTests


class TestMemoryStore(StoreTests):
    def make_store(self, variables, tmp_path):
        return MemoryStore(variables)

    def read_back(self, store, tmp_path):
        return store.variables


class TestMemoryStoreOverReadOnlyMapping(StoreTests):
    def make_store(self, variables, tmp_path):
        return MemoryStore(MappingProxyType(variables))

    def read_back(self, store, tmp_path):
        return dict(store.variables)
