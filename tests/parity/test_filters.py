"""Filters of collections do what those of flax do."""

import flax.core.scope as flax_scope
import hypothesis
import jax
import pytest
from hypothesis import strategies as st

from linen_core import errors, filters
from parity import _compare as compare

NAMES = ["params", "cache", "stats", "other"]
FINITE = st.one_of(
    st.booleans(),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(NAMES), max_size=3),
    st.lists(st.sampled_from(NAMES), max_size=3).map(tuple),
    st.sets(st.sampled_from(NAMES), max_size=3),
)


def _in(lib, spec):
    """Build a drawn filter with the DenyList of a library."""
    kind, inner = spec
    for _ in range(kind):
        inner = lib.DenyList(inner)
    return inner


FILTERS = st.tuples(st.integers(0, 2), FINITE)


def _matches_nothing(filter_like):
    return not any(filters.in_filter(filter_like, name) for name in [*NAMES, "never drawn"])


def _plain(result):
    return ("deny", _plain(result.deny)) if hasattr(result, "deny") else result


@compare.parity_settings()
@hypothesis.given(FILTERS, FILTERS)
def test_operations_on_two_filters(left, right):
    for name in ("union_filters", "intersect_filters", "subtract_filters"):
        ours, theirs = (
            getattr(lib, name)(_in(lib, left), _in(lib, right)) for lib in (filters, flax_scope)
        )
        assert [filters.in_filter(ours, n) for n in NAMES] == [
            flax_scope.in_filter(theirs, n) for n in NAMES
        ]
        assert filters.is_filter_empty(ours) == _matches_nothing(ours)
        if max(left[0], right[0]) == 0:
            assert _plain(ours) == _plain(theirs), name


@compare.parity_settings()
@hypothesis.given(FILTERS, st.lists(FILTERS, max_size=3))
def test_operations_on_one_filter_and_groups(single, several):
    def run(lib):
        one = _in(lib, single)
        values = {name: {"v": i} for i, name in enumerate(NAMES)}
        groups = lib.group_collections(values, [_in(lib, spec) for spec in several])
        # Flax takes a DenyList of a DenyList of names for empty; it is not.
        empty = lib.is_filter_empty(one) if single[0] < 2 else None
        return [lib.in_filter(one, n) for n in NAMES], empty, groups

    assert filters.is_filter_empty(_in(filters, single)) == _matches_nothing(_in(filters, single))
    compare.assert_same_outcome(lambda: run(filters), lambda: run(flax_scope))
    compare.assert_same_outcome(
        lambda: filters.filter_to_set(_in(filters, single)),
        lambda: flax_scope.filter_to_set(_in(flax_scope, single)),
    )


@pytest.mark.parametrize(
    "name", ["in_filter", "is_filter_empty", "filter_to_set", "union_filters", "subtract_filters"]
)
@pytest.mark.parametrize("bad", [3, None, 1.5])
def test_what_is_no_filter_is_refused(name, bad):
    second = {"in_filter": ("params",), "union_filters": ("a",), "subtract_filters": ("a",)}
    args = (bad, *second.get(name, ()))
    compare.assert_same_outcome(
        lambda: getattr(filters, name)(*args), lambda: getattr(flax_scope, name)(*args)
    )
    with pytest.raises(errors.InvalidFilterError):
        getattr(filters, name)(*args)


def test_names_and_deny_lists_can_be_sorted_together():
    mixed = {filters.DenyList("b"): 1, "a": 2, filters.DenyList("a"): 3}
    assert jax.tree.leaves(mixed) == [2, 3, 1]


def test_an_infinite_filter_names_no_set():
    message = r"^Expected a filter of a finite number of names, found DenyList\(deny='a'\)\.$"
    with pytest.raises(AssertionError, match=message):
        filters.filter_to_set(filters.DenyList("a"))
