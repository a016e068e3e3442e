"""Conformance tests of writing, and of rejected writes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path as FilePath

import numpy as np

from linen_core.errors import StorePathError, StoreReadOnlyError
from linen_core.testing._cases import KERNEL, MODEL
from linen_core.testing._expect import array_spec, expect, expect_error, expect_path_error, value_at
from linen_core.testing._hooks import StoreHooks
from linen_core.typing import Path

__all__ = ["WritingTests"]

_VALUE = np.arange(6, dtype=np.float16).reshape(2, 3)
_ABSENT: list[tuple[str, Path]] = [
    ("params", ("decoder",)),
    ("params", (*KERNEL, "below")),
    ("cache", ()),
]


class WritingTests(StoreHooks):
    """A writable store keeps new values; a read-only store rejects them and does not change."""

    def test_put_adds_a_leaf_at_the_end(self, tmp_path: FilePath) -> None:
        """A new name comes last, or at its place in a store that sorts names."""
        with self._writable(tmp_path) as store:
            store.put("params", ("encoder", "Dense_0", "alpha"), _VALUE)
            expected = copy.deepcopy(MODEL)
            expected["params"]["encoder"]["Dense_0"]["alpha"] = _VALUE
            self._expect_holds(store, expected, tmp_path)

    def test_put_replaces_a_leaf_in_its_place(self, tmp_path: FilePath) -> None:
        """A new value keeps the position of the old one, and shape, dtype and specs are updated."""
        with self._writable(tmp_path) as store:
            above = [KERNEL[:depth] for depth in range(len(KERNEL) + 1)]
            for path in above:  # a store that caches specs has cached these
                store.spec("params", path)
            store.snapshot()
            store.put("params", KERNEL, _VALUE)
            expected = copy.deepcopy(MODEL)
            expected["params"]["encoder"]["Dense_0"]["kernel"] = _VALUE
            self._expect_holds(store, expected, tmp_path)
            for path in above:
                found = array_spec(store.spec("params", path))
                new = array_spec(value_at(expected["params"], path))
                expect(found, new, f"spec('params', {path!r}) after a leaf was replaced")

    def test_put_makes_the_nodes_above(self, tmp_path: FilePath) -> None:
        """`put` creates missing nodes and a missing collection."""
        with self._writable(tmp_path) as store:
            store.put("params", ("decoder", "deep", "bias"), _VALUE)
            store.put("cache", ("step",), _VALUE)
            expected = copy.deepcopy(MODEL)
            expected["params"]["decoder"] = {"deep": {"bias": _VALUE}}
            expected["cache"] = {"step": _VALUE}
            self._expect_holds(store, expected, tmp_path)

    def test_put_below_a_leaf_is_refused(self, tmp_path: FilePath) -> None:
        """Nothing can be put below a leaf. The error has the path of the leaf or of the new value."""
        with self._writable(tmp_path) as store:
            for path in ((*KERNEL, "below"), (*KERNEL, "further", "below")):
                subject = f"put('params', {path!r}), below a leaf"
                with expect_error(StorePathError, subject) as caught:
                    store.put("params", path, _VALUE)
                expect(caught[0].path in {KERNEL, path}, True, f"{subject}: the path in the error")
            self._expect_holds(store, MODEL, tmp_path)

    def test_put_of_a_whole_collection_is_refused(self, tmp_path: FilePath) -> None:
        """A value needs a name inside its collection."""
        with self._writable(tmp_path) as store:
            for collection in ("params", "cache"):
                expect_path_error(
                    collection,
                    (),
                    partial(store.put, collection, (), _VALUE),
                    f"put({collection!r}, ())",
                )
            self._expect_holds(store, MODEL, tmp_path)

    def test_delete_removes_leaf_node_and_collection(self, tmp_path: FilePath) -> None:
        """`delete` removes a value or a whole node; the parent node stays, even if it is empty."""
        with self._writable(tmp_path) as store:
            expected = copy.deepcopy(MODEL)
            store.delete("params", ("head", "kernel"))
            expected["params"]["head"] = {}
            self._expect_holds(store, expected, tmp_path)
            store.delete("params", ("encoder", "Dense_0"))
            del expected["params"]["encoder"]["Dense_0"]
            self._expect_holds(store, expected, tmp_path)
            store.delete("batch_stats", ())
            del expected["batch_stats"]
            self._expect_holds(store, expected, tmp_path)
            expect(store.contains("params", ("encoder", "Dense_0")), False, "contains() afterwards")

    def test_delete_of_nothing_is_refused(self, tmp_path: FilePath) -> None:
        """Deleting a missing path raises `StorePathError`."""
        with self._writable(tmp_path) as store:
            for at in _ABSENT:
                expect_path_error(*at, partial(store.delete, *at), f"delete{at}")
            self._expect_holds(store, MODEL, tmp_path)

    def test_what_is_put_again_after_delete_comes_last(self, tmp_path: FilePath) -> None:
        """A store does not remember the position of a deleted name."""
        with self._writable(tmp_path) as store:
            expected = copy.deepcopy(MODEL)
            dense = expected["params"]["encoder"]["Dense_0"]
            dense["kernel"] = dense.pop("kernel")
            store.delete("params", KERNEL)
            store.put("params", KERNEL, dense["kernel"])
            self._expect_holds(store, expected, tmp_path)

    def test_a_read_only_store_refuses_and_stays(self, tmp_path: FilePath) -> None:
        """`put` and `delete` raise `StoreReadOnlyError` with the path, and nothing changes."""
        with self._read_only(tmp_path) as store:
            for at in [("params", KERNEL), *_ABSENT]:
                _expect_read_only(at, partial(store.put, *at, _VALUE), f"put{at}")
                _expect_read_only(at, partial(store.delete, *at), f"delete{at}")
            self._expect_holds(store, MODEL, tmp_path)


def _expect_read_only(at: tuple[str, Path], call: Callable[[], None], what: str) -> None:
    with expect_error(StoreReadOnlyError, what) as caught:
        call()
    found = (caught[0].collection, caught[0].path)
    expect(found, at, f"{what}: the path in the error")
