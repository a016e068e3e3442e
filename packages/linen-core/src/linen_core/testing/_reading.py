"""Conformance tests of reading: names, specs and values."""

from __future__ import annotations

from functools import partial
from pathlib import Path as FilePath

import numpy as np

from linen_core.filters import CollectionFilter, DenyList
from linen_core.store.base import StoreCapabilities, VariableStore
from linen_core.testing._cases import KERNEL
from linen_core.testing._expect import (
    array_spec,
    expect,
    expect_path_error,
    expect_values,
    leaf_paths,
    nodes,
    value_at,
)
from linen_core.testing._hooks import StoreHooks
from linen_core.typing import Path

__all__ = ["ReadingTests"]

_MISSING: list[tuple[str, Path]] = [
    ("params", ("decoder",)),
    ("params", ("encoder", "Dense_1")),
    ("params", ("encoder", "Dense_0", "kernels")),
    ("params", (*KERNEL, "below")),
    ("params", ("encoder/Dense_0/kernel",)),
    ("params", ("encoder.Dense_0.kernel",)),
    ("params", ("",)),
    ("batch_stats", ("head", "kernel")),
    ("cache", ()),
    ("cache", KERNEL),
    ("", ()),
]


class ReadingTests(StoreHooks):
    """A path that exists returns the stored value, and any other path raises `StorePathError`."""

    def test_it_is_a_store_with_constant_capabilities(self, tmp_path: FilePath) -> None:
        """The store is a `VariableStore`, and its capabilities do not change."""
        with self._fill(tmp_path) as store:
            expect(isinstance(store, VariableStore), True, "isinstance(store, VariableStore)")
            before = store.capabilities
            store.snapshot()
            expect(type(before), StoreCapabilities, "the type of the capabilities")
            expect(store.capabilities, before, "the capabilities after a read")

    def test_collections_come_in_stored_order(self, tmp_path: FilePath) -> None:
        """`collections` is a tuple of the names, in the order they were stored."""
        for name, variables, store in self._cases(tmp_path):
            expect(store.collections(), tuple(variables), f"collections() of {name}")

    def test_children_come_in_stored_order(self, tmp_path: FilePath) -> None:
        """`children` of a node is a tuple of names in stored order; for a leaf it is empty."""
        for name, variables, store in self._cases(tmp_path):
            for collection, tree in variables.items():
                for path, node in nodes(tree):
                    subject = f"children({collection!r}, {path!r}) of {name}"
                    expect(store.children(collection, path), tuple(node), subject)
                for path in leaf_paths(tree):
                    subject = f"children({collection!r}, {path!r}) of {name}, a leaf"
                    expect(store.children(collection, path), (), subject)

    def test_spec_describes_leaves_and_nodes(self, tmp_path: FilePath) -> None:
        """`spec` has the shape and dtype of each leaf, and for a node a dict in stored order."""
        for name, variables, store in self._cases(tmp_path):
            for collection, tree in variables.items():
                for path in [*(path for path, _ in nodes(tree)), *leaf_paths(tree)]:
                    found = array_spec(store.spec(collection, path))
                    expected = array_spec(value_at(tree, path))
                    subject = f"spec({collection!r}, {path!r}) of {name}"
                    expect(found, expected, subject)
                    expect(repr(found), repr(expected), f"{subject}: the order")

    def test_read_gives_the_stored_bits(self, tmp_path: FilePath) -> None:
        """`read` gives dtype, shape and bits of each leaf as they were stored."""
        for name, variables, store in self._cases(tmp_path):
            for collection, tree in variables.items():
                paths = leaf_paths(tree)
                for path, value in zip(paths, store.read(collection, paths), strict=True):
                    subject = f"read({collection!r}) of {name} at {path!r}"
                    expect_values(value, value_at(tree, path), subject)

    def test_leaves_come_depth_first_in_stored_order(self, tmp_path: FilePath) -> None:
        """`leaves` has the path of every leaf; empty nodes have none."""
        for name, variables, store in self._cases(tmp_path):
            for collection, tree in variables.items():
                subject = f"leaves({collection!r}) of {name}"
                expect(store.leaves(collection), tuple(leaf_paths(tree)), subject)

    def test_snapshot_is_what_was_stored(self, tmp_path: FilePath) -> None:
        """`snapshot` is a plain nested dict of everything, including empty nodes."""
        for name, variables, store in self._cases(tmp_path):
            expect_values(store.snapshot(), variables, f"snapshot() of {name}")

    def test_read_keeps_the_order_asked_for(self, tmp_path: FilePath) -> None:
        """`read` follows the order of the paths, and returns a repeated path repeatedly."""
        with self._fill(tmp_path) as store:
            paths = leaf_paths(self._model["params"])
            requested = [*reversed(paths), paths[0], paths[2], paths[0]]
            for sequence in (requested, tuple(requested)):
                found = store.read("params", sequence)
                expect(type(found), list, "the type of what read() returns")
                expect(len(found), len(requested), "the number of values read")
                for path, value in zip(requested, found, strict=True):
                    expect_values(
                        value, value_at(self._model["params"], path), f"read() at {path!r}"
                    )

    def test_read_of_no_paths_is_empty(self, tmp_path: FilePath) -> None:
        """`read` of an empty list of paths returns an empty list."""
        with self._fill(tmp_path) as store:
            expect(store.read("params", []), [], "read('params', [])")

    def test_get_is_a_read_of_one(self, tmp_path: FilePath) -> None:
        """`get` returns the value itself, not a list."""
        with self._fill(tmp_path) as store:
            for path in leaf_paths(self._model["params"]):
                expected = value_at(self._model["params"], path)
                expect_values(store.get("params", path), expected, f"get('params', {path!r})")

    def test_contains_and_is_leaf(self, tmp_path: FilePath) -> None:
        """`contains` is true for nodes and leaves, `is_leaf` only for leaves."""
        with self._fill(tmp_path) as store:
            for collection, tree in self._model.items():
                for path, _ in nodes(tree):
                    expect(store.contains(collection, path), True, f"contains({path!r})")
                    expect(store.is_leaf(collection, path), False, f"is_leaf({path!r})")
                for path in leaf_paths(tree):
                    expect(store.contains(collection, path), True, f"contains({path!r})")
                    expect(store.is_leaf(collection, path), True, f"is_leaf({path!r})")
            for collection, path in _MISSING:
                subject = f"({collection!r}, {path!r})"
                expect(store.contains(collection, path), False, f"contains{subject}")
                expect(store.is_leaf(collection, path), False, f"is_leaf{subject}")

    def test_a_missing_path_raises_everywhere(self, tmp_path: FilePath) -> None:
        """Every read of a missing path raises `StorePathError` with the path."""
        with self._fill(tmp_path) as store:
            for collection, path in _MISSING:
                for method in (store.children, store.spec, store.get, store.leaves):
                    call = partial(method, collection, path)
                    subject = f"{method.__name__}({collection!r}, {path!r})"
                    expect_path_error(collection, path, call, subject)

    def test_a_node_is_no_value(self, tmp_path: FilePath) -> None:
        """`read` and `get` of a node, empty or not, raise `StorePathError`."""
        variables = {"params": {"dense": {"bias": np.ones(2, np.float32)}, "empty": {}}}
        with self._fill(tmp_path, variables) as store:
            for path in ((), ("dense",), ("empty",)):
                call = partial(store.get, "params", path)
                expect_path_error("params", path, call, f"get('params', {path!r}), a node")

    def test_a_batch_with_a_bad_path_reads_nothing(self, tmp_path: FilePath) -> None:
        """One bad path in a batch raises `StorePathError` before any value is read."""
        with self._fill(tmp_path) as store:
            before = self.count_reads(store)
            for bad in (("decoder",), ("encoder",)):
                batch = [KERNEL, bad, ("head", "kernel")]
                expect_path_error(
                    "params",
                    bad,
                    partial(store.read, "params", batch),
                    f"read() with {bad!r} in the batch",
                )
            expect(self.count_reads(store), before, "count_reads after a rejected batch")

    def test_snapshot_takes_filters(self, tmp_path: FilePath) -> None:
        """`snapshot` returns the collections that the filter selects."""
        filters: dict[str, tuple[CollectionFilter, list[str]]] = {
            "True": (True, ["params", "batch_stats"]),
            "False": (False, []),
            "a name": ("batch_stats", ["batch_stats"]),
            "an unknown name": ("cache", []),
            "names": (["batch_stats", "cache"], ["batch_stats"]),
            "a DenyList": (DenyList("params"), ["batch_stats"]),
        }
        with self._fill(tmp_path) as store:
            for kind, (chosen, names) in filters.items():
                expected = {name: tree for name, tree in self._model.items() if name in names}
                expect_values(store.snapshot(chosen), expected, f"snapshot({kind})")
