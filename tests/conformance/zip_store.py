"""A whole store plugin: variables in a zip archive, each leaf read when it is asked for."""

import json
import zipfile

import jax
import numpy as np

import linen_core as nn
from linen_core.errors import StoreClosedError, StorePathError


class ZipStore(nn.VariableStore):
    """Reads an archive of raw leaves and a tree of where they are, with their shapes and dtypes."""

    capabilities = nn.StoreCapabilities(lazy=True, thread_safe=False)

    def __init__(self, path):
        self.archive = zipfile.ZipFile(path)
        self.tree = json.loads(self.archive.read("tree"))
        self.reads = 0

    def find(self, collection, path):
        node = self.tree
        for name in (collection, *path):
            if not isinstance(node, dict) or name not in node:
                raise StorePathError(collection, path)
            node = node[name]
        return node

    def collections(self):
        return tuple(self.tree)

    def children(self, collection, path=()):
        node = self.find(collection, path)
        return tuple(node) if isinstance(node, dict) else ()

    def spec(self, collection, path=()):
        node = self.find(collection, path)
        if isinstance(node, dict):
            return {name: self.spec(collection, (*path, name)) for name in node}
        return jax.ShapeDtypeStruct(*node[1:])

    def read(self, collection, paths):
        for path in paths:
            if not self.is_leaf(collection, path):
                raise StorePathError(collection, path, "no value is there")
        if self.archive.fp is None:
            raise StoreClosedError("ZipStore")
        self.reads += len(paths)
        return [self.load(*self.find(collection, path)) for path in paths]

    def load(self, member, shape, dtype):
        return np.frombuffer(self.archive.read(member), np.dtype(dtype)).reshape(shape)

    def close(self):
        self.archive.close()
