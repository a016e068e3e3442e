"""Filters select names as sets do, and their operations agree with the membership test."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linen_core.errors import InvalidFilterError
from linen_core.filters import (
    DenyList,
    filter_to_set,
    group_collections,
    in_filter,
    intersect_filters,
    is_filter_empty,
    subtract_filters,
    union_filters,
)

NAMES = ("params", "cache", "state")
UNSEEN = "never_named"
finite = st.one_of(
    st.just(False),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)),
    st.frozensets(st.sampled_from(NAMES)),
    st.lists(st.sampled_from(NAMES)).map(tuple),
)
filters = st.recursive(st.one_of(finite, st.just(True)), lambda inner: inner.map(DenyList))


def selected(filter):
    """All names that a filter selects, with one name that no filter mentions."""
    return {name for name in (*NAMES, UNSEEN) if in_filter(filter, name)}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (True, {*NAMES, UNSEEN}),
        (False, set()),
        ("params", {"params"}),
        ("par", set()),
        ([], set()),
        (["params", "cache"], {"params", "cache"}),
        (("cache",), {"cache"}),
        ({"state": 1}, {"state"}),
        (DenyList("params"), {"cache", "state", UNSEEN}),
        (DenyList(["params", "cache"]), {"state", UNSEEN}),
        (DenyList(True), set()),
        (DenyList(False), {*NAMES, UNSEEN}),
        (DenyList(DenyList("params")), {"params"}),
    ],
)
def test_a_filter_selects(filter, expected):
    assert selected(filter) == expected


def test_a_string_is_one_name_and_not_its_letters():
    assert not in_filter("params", "p")
    assert filter_to_set("params") == {"params"}


@given(filters, filters)
def test_union_selects_what_either_selects(a, b):
    assert selected(union_filters(a, b)) == selected(a) | selected(b)


@given(filters, filters)
def test_intersection_selects_what_both_select(a, b):
    assert selected(intersect_filters(a, b)) == selected(a) & selected(b)


@given(filters, filters)
def test_difference_selects_what_only_the_first_selects(a, b):
    assert selected(subtract_filters(a, b)) == selected(a) - selected(b)


@given(filters)
def test_a_filter_is_empty_if_it_selects_nothing(filter):
    assert is_filter_empty(filter) == (selected(filter) == set())


@given(finite)
def test_a_finite_filter_is_the_set_of_its_names(filter):
    assert filter_to_set(filter) == selected(filter)


@given(filters)
def test_a_filter_without_itself_is_empty(filter):
    assert is_filter_empty(subtract_filters(filter, filter))


@pytest.mark.parametrize("filter", [True, DenyList("params"), DenyList(True)], ids=repr)
def test_an_infinite_filter_is_not_a_set(filter):
    with pytest.raises(AssertionError) as caught:
        filter_to_set(filter)
    assert str(caught.value) == f"Expected a filter of a finite number of names, found {filter!r}."


@pytest.mark.parametrize(
    "use",
    [
        lambda wrong: in_filter(wrong, "params"),
        lambda wrong: in_filter(DenyList(wrong), "params"),
        is_filter_empty,
        filter_to_set,
        lambda wrong: union_filters("params", wrong),
        lambda wrong: intersect_filters(wrong, "params"),
        lambda wrong: subtract_filters("params", wrong),
        lambda wrong: group_collections({"params": 1}, [wrong]),
    ],
)
@pytest.mark.parametrize("wrong", [3, None, 1.5])
def test_other_values_are_refused(use, wrong):
    with pytest.raises(InvalidFilterError) as caught:
        use(wrong)
    assert str(caught.value) == (
        f"Invalid filter {wrong!r}: expected a bool, a name, a collection of names or a DenyList."
    )
    assert isinstance(caught.value, TypeError)


@given(st.dictionaries(st.sampled_from((*NAMES, UNSEEN)), st.integers()), st.lists(filters))
def test_a_value_goes_to_the_first_group_that_selects_its_name(xs, given_filters):
    groups = group_collections(xs, given_filters)
    assert len(groups) == len(given_filters)
    remaining = dict(xs)
    for group, chosen in zip(groups, given_filters, strict=True):
        assert group == {name: xs[name] for name in remaining if in_filter(chosen, name)}
        for name in group:
            del remaining[name]


def test_groups_keep_the_order_of_the_mapping():
    xs = {"state": 1, "cache": 2, "params": 3}
    (group,) = group_collections(xs, [True])
    assert list(group) == ["state", "cache", "params"]


def test_deny_lists_are_compared_by_the_filter_they_exclude():
    assert DenyList("params") == DenyList("params")
    assert DenyList("params") != DenyList("cache")
    assert len({DenyList("params"), DenyList("params"), DenyList(("params",))}) == 2


def test_names_and_deny_lists_sort_with_names_first():
    keys = [DenyList("b"), "z", DenyList("a"), "a"]
    assert sorted(keys) == ["a", "z", DenyList("a"), DenyList("b")]
    assert sorted(keys, reverse=True) == [DenyList("b"), DenyList("a"), "z", "a"]
    with pytest.raises(TypeError, match="not supported between instances of 'DenyList' and 'int'"):
        _ = DenyList("a") < 3


def test_a_dict_with_deny_lists_as_keys_is_a_pytree():
    axes = {DenyList("params"): 1, "params": 0}
    assert jax.tree.leaves(axes) == [0, 1]
    assert jax.tree.map(lambda axis: axis + 1, axes) == {DenyList("params"): 2, "params": 1}
