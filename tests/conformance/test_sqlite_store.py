"""A store that can be written, over a SQLite database, written from the documentation of `VariableStore` alone."""

from __future__ import annotations

import json
import sqlite3
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core.errors import StoreClosedError, StorePathError
from linen_core.testing import StoreTests

TABLE = """
create table if not exists nodes (
    id integer primary key autoincrement,
    parent integer not null,
    name text not null,
    dtype text,
    shape text,
    data blob,
    unique (parent, name)
)
"""
BELOW = """
with recursive below(id) as (
    values (?) union all select nodes.id from nodes join below on nodes.parent = below.id
)
delete from nodes where id in below
"""
ROOT = 0


class SqliteStore(nn.VariableStore):
    """One row for each node and leaf; a leaf has a dtype. Rows are ordered by when they were made."""

    capabilities = nn.StoreCapabilities(writable=True, lazy=True, thread_safe=True)

    def __init__(self, file):
        self.database = sqlite3.connect(file, check_same_thread=False)
        self.lock = threading.RLock()
        self.reads = 0
        self.ask(TABLE)

    def __del__(self):  # Python 3.13 warns of a database that is left open
        self.database.close()

    def ask(self, question, *values):
        try:
            with self.lock, self.database:
                return self.database.execute(question, values).fetchall()
        except sqlite3.ProgrammingError as error:
            raise StoreClosedError("SqliteStore") from error

    def rows(self, parent):
        return self.ask(
            "select id, name, dtype, shape from nodes where parent = ? order by id", parent
        )

    def find(self, collection, path):
        """The row at a path: its number, its dtype and its shape."""
        found = (ROOT, None, None)
        for name in (collection, *path):
            rows = self.ask(
                "select id, dtype, shape from nodes where parent = ? and name = ?", found[0], name
            )
            if not rows:
                raise StorePathError(collection, path)
            (found,) = rows
        return found

    def collections(self):
        return tuple(name for _, name, *_ in self.rows(ROOT))

    def children(self, collection, path=()):
        return tuple(name for _, name, *_ in self.rows(self.find(collection, path)[0]))

    def spec(self, collection, path=()):
        return self.described(*self.find(collection, path))

    def described(self, number, dtype, shape):
        if dtype is not None:
            return jax.ShapeDtypeStruct(json.loads(shape), jnp.dtype(dtype))
        return {name: self.described(row, *kind) for row, name, *kind in self.rows(number)}

    def read(self, collection, paths):
        found = [self.find(collection, path) for path in paths]
        for path, (_, dtype, _) in zip(paths, found, strict=True):
            if dtype is None:
                raise StorePathError(collection, path, "a node, not a value, is there")
        self.reads += len(paths)
        return [self.value(*row) for row in found]

    def value(self, number, dtype, shape):
        ((data,),) = self.ask("select data from nodes where id = ?", number)
        return np.frombuffer(data, jnp.dtype(dtype)).reshape(json.loads(shape))

    def put(self, collection, path, value):
        if not path:
            raise StorePathError(collection, path, "a value needs a name inside its collection")
        with self.lock:
            names = (collection, *path)
            above = [names[1:depth] for depth in range(1, len(names))]
            if any(self.is_leaf(collection, node) for node in above):
                raise StorePathError(collection, path, "it leads through a value")
            parent = ROOT
            for name in names[:-1]:
                parent = self.row(parent, name)
            number = self.row(parent, names[-1])
            for child, *_ in self.rows(number):
                self.ask(BELOW, child)
            array = np.asarray(value)
            self.ask(
                "update nodes set dtype = ?, shape = ?, data = ? where id = ?",
                array.dtype.name,
                json.dumps(array.shape),
                array.tobytes(),
                number,
            )

    def row(self, parent, name):
        """The number of a row, which is made if it is missing."""
        self.ask("insert or ignore into nodes (parent, name) values (?, ?)", parent, name)
        ((number,),) = self.ask("select id from nodes where parent = ? and name = ?", parent, name)
        return number

    def delete(self, collection, path):
        with self.lock:
            self.ask(BELOW, self.find(collection, path)[0])

    def close(self):
        self.database.close()


def fill(store, variables):
    """Write nodes too, which `put` makes only above a leaf."""

    def add(parent, tree, path):
        for name, child in tree.items():
            if isinstance(child, dict):
                add(store.row(parent, name), child, (*path, name))
            else:
                store.put(path[0], (*path[1:], name), child)

    add(ROOT, variables, ())


class TestSqliteStore(StoreTests):
    def make_store(self, variables, tmp_path):
        store = SqliteStore(tmp_path / "model.db")
        fill(store, variables)
        return store

    def read_back(self, store, tmp_path):
        other = SqliteStore(tmp_path / "model.db")
        try:
            return other.snapshot()
        finally:
            other.close()

    def count_reads(self, store):
        return store.reads


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_leaf_takes_the_place_of_a_node(tmp_path, kind):
    variables = {"params": {"a": {"b": np.ones(2)}, "c": np.ones(1)}}
    store = nn.MemoryStore(variables) if kind == "memory" else SqliteStore(tmp_path / "model.db")
    if kind == "sqlite":
        fill(store, variables)
    with store:
        store.put("params", ("a",), np.zeros(3))
        assert store.children("params") == ("a", "c")
        assert store.get("params", ("a",)).tolist() == [0, 0, 0]
        with pytest.raises(StorePathError):
            store.get("params", ("a", "b"))
