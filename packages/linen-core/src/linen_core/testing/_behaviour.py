"""Conformance tests of the number of reads, of shared values, threads and closing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path as FilePath
from typing import Any
from unittest import mock

import numpy as np

from linen_core.errors import StoreClosedError
from linen_core.store.base import VariableStore
from linen_core.testing._cases import CASES, KERNEL
from linen_core.testing._expect import expect, expect_values, leaf_paths, nodes, value_at
from linen_core.testing._hooks import StoreHooks

__all__ = ["BehaviourTests"]

_THREADS = 8
_ROUNDS = 5


class BehaviourTests(StoreHooks):
    """Metadata needs no read, snapshots belong to the caller, and threads and closing are safe."""

    def test_metadata_costs_no_read(self, tmp_path: FilePath) -> None:
        """All methods except `read`, `get` and `snapshot` work without reading a value."""
        with self._fill(tmp_path) as store:
            before = self.count_reads(store)
            if store.capabilities.lazy:
                expect(before, 0, "count_reads of a lazy store that was just opened")
            with mock.patch.object(type(store), "read", side_effect=_refuse):
                for collection in store.collections():
                    tree = self._model[collection]
                    for path in [*(path for path, _ in nodes(tree)), *leaf_paths(tree)]:
                        store.children(collection, path)
                        store.spec(collection, path)
                        store.contains(collection, path)
                        store.is_leaf(collection, path)
                        store.leaves(collection, path)
                repr(store)
            expect(self.count_reads(store), before, "count_reads after metadata alone")

    def test_a_lazy_store_reads_only_what_is_asked(self, tmp_path: FilePath) -> None:
        """Reading one leaf of many is one read, and a filter leaves the other collections unread."""
        with self._fill(tmp_path / "leaf", CASES["many leaves"]) as store:
            store.get("params", ("layer_7", "kernel"))
            if store.capabilities.lazy:
                expect(self.count_reads(store), 1, "count_reads after a read of one leaf")
        with self._fill(tmp_path / "filter") as store:
            store.snapshot("batch_stats")
            if store.capabilities.lazy:
                expect(self.count_reads(store), 1, "count_reads after a snapshot of one leaf")

    def test_snapshot_reads_once_per_collection(self, tmp_path: FilePath) -> None:
        """`snapshot` reads each chosen collection in at most one batch."""
        with self._fill(tmp_path) as store:
            read = type(store).read
            with mock.patch.object(type(store), "read", autospec=True, side_effect=read) as spy:
                store.snapshot()
            calls = [call.args[1] for call in spy.call_args_list]
            expect(len(calls), len(set(calls)), f"the number of reads in a snapshot ({calls})")

    def test_snapshot_shares_no_node(self, tmp_path: FilePath) -> None:
        """Changing the dicts of a snapshot changes neither the store nor another snapshot."""
        with self._fill(tmp_path) as store:
            first, second = store.snapshot(), store.snapshot()
            first["params"]["encoder"]["Dense_0"].clear()
            first["params"]["new"] = {}
            del first["batch_stats"]
            expect_values(second, self._model, "another snapshot")
            self._expect_holds(store, self._model, tmp_path)

    def test_a_read_changes_nothing(self, tmp_path: FilePath) -> None:
        """Reading everything twice gives the same values and changes nothing."""
        with self._fill(tmp_path) as store:
            paths = leaf_paths(self._model["params"])
            for _ in range(2):
                for path, value in zip(paths, store.read("params", paths), strict=True):
                    expect_values(
                        value, value_at(self._model["params"], path), f"read() at {path!r}"
                    )
            self._expect_holds(store, self._model, tmp_path)

    def test_two_stores_are_two(self, tmp_path: FilePath) -> None:
        """A second store with other values at the same paths does not affect the first."""
        other = {"params": {"encoder": {"Dense_0": {"kernel": np.full((2, 2), 9, np.int32)}}}}
        with (
            self._fill(tmp_path / "first") as first,
            self._fill(tmp_path / "second", other) as second,
        ):
            expect_values(second.snapshot(), other, "the second store")
            expect_values(first.snapshot(), self._model, "the first store")
            if first.capabilities.writable:
                first.put("params", KERNEL, np.zeros(1, np.float32))
                expect_values(second.snapshot(), other, "the second store, the first one written")

    def test_close_twice(self, tmp_path: FilePath) -> None:
        """A store can be closed repeatedly, and closing deletes nothing."""
        store = self._fill(tmp_path)
        store.close()
        store.close()
        outside = self.read_back(store, tmp_path)
        if outside is not None:
            expect_values(outside, self._model, "read_back of a closed store")

    def test_a_with_block_gives_the_store_and_closes_it(self, tmp_path: FilePath) -> None:
        """`with` returns the store itself, and an error inside the block is not swallowed."""
        store = self._fill(tmp_path)
        try:
            with store as entered:
                expect(entered is store, True, "`with store as entered`: entered is store")
                raise _TestError  # noqa: TRY301 - the block under test
        except _TestError:
            return
        msg = "an error inside the with block: expected it to leave the block, found it swallowed"
        raise AssertionError(msg)

    def test_a_closed_store_reads_or_says_that_it_is_closed(self, tmp_path: FilePath) -> None:
        """After `close`, a read returns the right value or raises `StoreClosedError`."""
        store = self._fill(tmp_path)
        store.close()
        try:
            value = store.get("params", KERNEL)
        except StoreClosedError:
            return
        expect_values(value, value_at(self._model["params"], KERNEL), "get() of a closed store")

    def test_threads_read_together(self, tmp_path: FilePath) -> None:
        """Threads that read at the same time all get the stored values."""
        with self._thread_safe(tmp_path) as store:

            def read_all(_: int) -> None:
                for _round in range(_ROUNDS):
                    expect_values(store.snapshot(), self._model, "a snapshot in a thread")
                    store.spec("params")

            _in_threads(read_all)

    def test_threads_write_together(self, tmp_path: FilePath) -> None:
        """Threads that put values below the same new node do not lose any of them."""
        with self._thread_safe(tmp_path, writable=True) as store:
            _in_threads(lambda thread: _put_many(store, thread))
            expect(len(store.children("cache", ("new",))), _THREADS, "the children put by threads")
            for thread in range(_THREADS):
                for number in range(_ROUNDS):
                    value = store.get("cache", ("new", f"thread_{thread}", f"value_{number}"))
                    expect_values(
                        value, _stamp(thread, number), f"the value put by thread {thread}"
                    )


class _TestError(Exception):
    """Raised inside a `with` block to test that the block does not swallow it."""


def _refuse(*_: object) -> None:
    msg = "metadata: expected no call of read(), found one"
    raise AssertionError(msg)


def _in_threads(task: Callable[[int], None]) -> None:
    start = threading.Barrier(_THREADS)

    def wait_and_run(thread: int) -> None:
        start.wait()
        task(thread)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # frequent thread switches make a race likely
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(wait_and_run, range(_THREADS)))
    finally:
        sys.setswitchinterval(interval)


def _put_many(store: VariableStore, thread: int) -> None:
    for number in range(_ROUNDS):
        path = ("new", f"thread_{thread}", f"value_{number}")
        store.put("cache", path, _stamp(thread, number))


def _stamp(thread: int, number: int) -> np.ndarray[Any, Any]:
    return np.array([thread, number], np.int32)
