"""The suite is itself tested: each store that breaks the contract fails the test that is about it."""

from __future__ import annotations

import unittest

import pytest

from conformance import broken_stores
from linen_core.store import MemoryStore
from linen_core.testing import StoreTests

FAULTS = {
    "SortsNames": "test_children_come_in_stored_order",
    "DropsEmptyNodes": "test_snapshot_is_what_was_stored",
    "WidensSmallFloats": "test_read_gives_the_stored_bits",
    "SqueezesShapes": "test_read_gives_the_stored_bits",
    "FlushesZeros": "test_read_gives_the_stored_bits",
    "ReadsForSpecs": "test_metadata_costs_no_read",
    "ReadsWholeCollection": "test_a_lazy_store_reads_only_what_is_asked",
    "ReadsBeforeItChecks": "test_a_batch_with_a_bad_path_reads_nothing",
    "ReadsOneByOne": "test_snapshot_reads_once_per_collection",
    "HandsOutItsNodes": "test_snapshot_shares_no_node",
    "IgnoresFilters": "test_snapshot_takes_filters",
    "JoinsNames": "test_read_gives_the_stored_bits",
    "RaisesKeyError": "test_a_missing_path_raises_everywhere",
    "FindsNothingEverywhere": "test_a_missing_path_raises_everywhere",
    "ReadsNodes": "test_a_node_is_no_value",
    "ReadsEachOnce": "test_read_keeps_the_order_asked_for",
    "ReadsInItsOwnOrder": "test_read_keeps_the_order_asked_for",
    "ForgetsToRefuse": "test_a_read_only_store_refuses_and_stays",
    "ChangesAndRefuses": "test_a_read_only_store_refuses_and_stays",
    "RemembersOldSpecs": "test_put_replaces_a_leaf_in_its_place",
    "DeletesQuietly": "test_delete_of_nothing_is_refused",
    "PrunesOnDelete": "test_delete_removes_leaf_node_and_collection",
    "OverwritesLeaves": "test_put_below_a_leaf_is_refused",
    "SharesItsState": "test_two_stores_are_two",
    "MixesUpThreads": "test_threads_read_together",
    "LosesNewNodes": "test_threads_write_together",
    "ClosesOnce": "test_close_twice",
    "SwallowsErrors": "test_a_with_block_gives_the_store_and_closes_it",
    "EntersAnother": "test_a_with_block_gives_the_store_and_closes_it",
    "ReadsZerosWhenClosed": "test_a_closed_store_reads_or_says_that_it_is_closed",
    "ChangesItsMind": "test_it_is_a_store_with_constant_capabilities",
}
TESTS = sorted(name for name in dir(StoreTests) if name.startswith("test_"))


def suite_of(store_class):
    """A subclass of the suite for a store class of one argument."""

    class TestStore(StoreTests):
        def make_store(self, variables, tmp_path):
            return store_class(variables)

        def count_reads(self, store):
            return getattr(store, "reads", None)

    return TestStore()


def outcome(suite, test, tmp_path):
    tmp_path.mkdir(parents=True)
    try:
        getattr(suite, test)(tmp_path)
    except unittest.SkipTest:
        return "skipped"
    except Exception as error:
        return error
    return "passed"


@pytest.mark.parametrize(("store", "test"), FAULTS.items())
def test_broken_store_fails(store, test, tmp_path):
    found = outcome(suite_of(getattr(broken_stores, store)), test, tmp_path / "store")
    assert isinstance(found, Exception), f"{test} {found}"


@pytest.mark.parametrize("store", [MemoryStore, broken_stores.LazyStore])
def test_sound_store_fails_nothing(store, tmp_path):
    found = {test: outcome(suite_of(store), test, tmp_path / test) for test in TESTS}
    assert {test: error for test, error in found.items() if isinstance(error, Exception)} == {}


def test_every_broken_store_is_tried():
    classes = {
        name
        for name, value in vars(broken_stores).items()
        if isinstance(value, type) and value.__module__ == broken_stores.__name__
    }
    assert classes - {"LazyStore"} == set(FAULTS)


def test_lazy_store_needs_a_count_of_reads(tmp_path):
    class TestStore(StoreTests):
        def make_store(self, variables, tmp_path):
            return broken_stores.LazyStore(variables)

    with pytest.raises(AssertionError) as caught:
        TestStore().test_metadata_costs_no_read(tmp_path)
    assert str(caught.value) == (
        "count_reads of a lazy store that was just opened: expected 0, found None"
    )


def test_what_lies_outside_is_looked_at(tmp_path):
    class TestStore(StoreTests):
        def make_store(self, variables, tmp_path):
            return MemoryStore(variables)

        def read_back(self, store, tmp_path):
            return {"params": {}}

    with pytest.raises(AssertionError) as caught:
        TestStore().test_a_read_changes_nothing(tmp_path)
    assert str(caught.value) == (
        "read_back: the names, in stored order: expected ['params', 'batch_stats'], found "
        "['params']"
    )
