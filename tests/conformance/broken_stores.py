"""Stores that each break the contract in one way, as a hurried author might, and the sound ones they come from."""

from __future__ import annotations

import time

import numpy as np

from linen_core.errors import StorePathError, StoreReadOnlyError
from linen_core.store import MemoryStore, StoreCapabilities


class LazyStore(MemoryStore):
    """Sound: read-only, and counts the values it reads."""

    capabilities = StoreCapabilities(lazy=True)

    def __init__(self, variables):
        super().__init__(variables)
        self.reads = 0

    def read(self, collection, paths):
        values = super().read(collection, paths)
        self.reads += len(values)
        return values


class SortsNames(MemoryStore):
    def children(self, collection, path=()):
        return tuple(sorted(super().children(collection, path)))


class DropsEmptyNodes(MemoryStore):
    def spec(self, collection, path=()):
        return drop_empty(super().spec(collection, path))


def drop_empty(tree):
    if not isinstance(tree, dict):
        return tree
    return {name: drop_empty(child) for name, child in tree.items() if child != {}}


class WidensSmallFloats(MemoryStore):
    def read(self, collection, paths):
        values = super().read(collection, paths)
        return [v.astype(np.float32) if v.dtype.itemsize == 2 else v for v in values]


class SqueezesShapes(MemoryStore):
    def read(self, collection, paths):
        return [np.squeeze(value) for value in super().read(collection, paths)]


class FlushesZeros(MemoryStore):
    def read(self, collection, paths):
        return [value + np.zeros((), value.dtype) for value in super().read(collection, paths)]


class ReadsForSpecs(LazyStore):
    def spec(self, collection, path=()):
        tree = super().spec(collection, path)
        if not isinstance(tree, dict):
            self.read(collection, [path])
        return tree


class ReadsWholeCollection(LazyStore):
    def read(self, collection, paths):
        super().read(collection, self.leaves(collection))
        return MemoryStore.read(self, collection, paths)


class ReadsBeforeItChecks(LazyStore):
    def read(self, collection, paths):
        return [super(ReadsBeforeItChecks, self).read(collection, [path])[0] for path in paths]


class ReadsOneByOne(MemoryStore):
    def snapshot(self, filter=True):
        tree = super().snapshot(filter)
        for collection in tree:
            for path in self.leaves(collection):
                self.read(collection, [path])
        return tree


class HandsOutItsNodes(MemoryStore):
    def snapshot(self, filter=True):
        return {name: self.variables[name] for name in super().snapshot(filter)}


class IgnoresFilters(MemoryStore):
    def snapshot(self, filter=True):
        return super().snapshot(True)


class JoinsNames(MemoryStore):
    """Finds a path by its names joined with slashes."""

    def _find(self, collection, path):
        joined = "/".join(path)
        for candidate, value in joined_paths(super()._find(collection, ()), ""):
            if candidate == joined:
                return value
        raise StorePathError(collection, path)


def joined_paths(tree, prefix):
    yield prefix, tree
    if isinstance(tree, dict):
        for name, child in tree.items():
            yield from joined_paths(child, f"{prefix}/{name}".removeprefix("/"))


class RaisesKeyError(MemoryStore):
    def _find(self, collection, path):
        node = self.variables[collection]
        for name in path:
            node = node[name] if isinstance(node, dict) else {}[name]
        return node


class FindsNothingEverywhere(MemoryStore):
    def children(self, collection, path=()):
        return super().children(collection, path) if self.contains(collection, path) else ()


class ReadsNodes(MemoryStore):
    def read(self, collection, paths):
        return [self._find(collection, path) for path in paths]


class ReadsEachOnce(MemoryStore):
    def read(self, collection, paths):
        return super().read(collection, list(dict.fromkeys(paths)))


class ReadsInItsOwnOrder(MemoryStore):
    def read(self, collection, paths):
        return super().read(collection, sorted(paths))


class ForgetsToRefuse(MemoryStore):
    capabilities = StoreCapabilities(writable=False)

    def put(self, collection, path, value):
        """Keep quiet."""


class ChangesAndRefuses(MemoryStore):
    capabilities = StoreCapabilities(writable=False)

    def put(self, collection, path, value):
        self.variables.setdefault(collection, {})["trace"] = value
        raise StoreReadOnlyError(type(self).__name__, collection, path)

    def delete(self, collection, path):
        raise StoreReadOnlyError(type(self).__name__, collection, path)


class RemembersOldSpecs(MemoryStore):
    def __init__(self, variables):
        super().__init__(variables)
        self.specs = {}

    def spec(self, collection, path=()):
        if (collection, path) not in self.specs:
            self.specs[collection, path] = super().spec(collection, path)
        return self.specs[collection, path]


class DeletesQuietly(MemoryStore):
    def delete(self, collection, path):
        if self.contains(collection, path):
            super().delete(collection, path)


class PrunesOnDelete(MemoryStore):
    def delete(self, collection, path):
        super().delete(collection, path)
        if len(path) > 1 and not self.children(collection, path[:-1]):
            super().delete(collection, path[:-1])


class OverwritesLeaves(MemoryStore):
    def put(self, collection, path, value):
        for depth in range(1, len(path)):
            if self.is_leaf(collection, path[:depth]):
                super().delete(collection, path[:depth])
        super().put(collection, path, value)


class SharesItsState(MemoryStore):
    shared: dict = {}  # noqa: RUF012 - the fault

    def __init__(self, variables):
        self.shared.clear()
        self.shared.update(variables)
        super().__init__(self.shared)


class MixesUpThreads(MemoryStore):
    """Keeps what it is asked for on itself while it looks."""

    def read(self, collection, paths):
        self.asked = (collection, paths)
        time.sleep(0.0005)
        return super().read(*self.asked)


class LosesNewNodes(MemoryStore):
    """Looks for a node and makes it in two steps."""

    def put(self, collection, path, value):
        node = self.variables.setdefault(collection, {})
        for name in path[:-1]:
            if name not in node:
                time.sleep(0.0005)
                node[name] = {}
            node = node[name]
        node[path[-1]] = value


class ClosesOnce(MemoryStore):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class SwallowsErrors(MemoryStore):
    def __exit__(self, kind, error, traceback):
        return True


class EntersAnother(MemoryStore):
    def __enter__(self):
        return MemoryStore(self.variables)


class ReadsZerosWhenClosed(MemoryStore):
    closed = False

    def read(self, collection, paths):
        values = super().read(collection, paths)
        return [np.zeros_like(value) for value in values] if self.closed else values

    def close(self):
        self.closed = True


class ChangesItsMind(MemoryStore):
    """Says that it can be written until it was read."""

    was_read = False

    @property
    def capabilities(self):
        return StoreCapabilities(writable=not self.was_read)

    def read(self, collection, paths):
        self.was_read = True
        return super().read(collection, paths)
