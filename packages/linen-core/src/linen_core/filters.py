"""Filters select collections or RNG streams.

A filter is a bool (all or none), a name, a collection of names, or a `DenyList` (all names except some).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias, TypeVar, Union

from linen_core.errors import InvalidFilterError

__all__ = [
    "CollectionFilter",
    "DenyList",
    "Filter",
    "PRNGSequenceFilter",
    "filter_to_set",
    "group_collections",
    "in_filter",
    "intersect_filters",
    "is_filter_empty",
    "subtract_filters",
    "union_filters",
]


@dataclasses.dataclass(frozen=True, eq=True)
class DenyList:
    """Select all names except those that ``deny`` selects.

    Example:
      >>> in_filter(DenyList("params"), "cache"), in_filter(DenyList(["params"]), "params")
      (True, False)
    """

    deny: Filter
    """The filter of the excluded names."""

    # JAX sorts the keys of a dict. A dict whose keys are names and DenyLists is a pytree only if both can be compared:
    # names come first.

    def __lt__(self, other: object) -> bool:
        if isinstance(other, str):
            return False
        return str(self.deny) < str(other.deny) if isinstance(other, DenyList) else NotImplemented

    def __gt__(self, other: object) -> bool:
        if isinstance(other, str):
            return True
        return str(self.deny) > str(other.deny) if isinstance(other, DenyList) else NotImplemented


Filter: TypeAlias = Union[bool, str, Collection[str], "DenyList"]
CollectionFilter: TypeAlias = Filter
PRNGSequenceFilter: TypeAlias = Filter


def in_filter(filter_like: Filter, col: str) -> bool:
    """Return whether a filter selects a name.

    Raises:
      InvalidFilterError: ``filter_like`` is not a filter.

    Example:
      >>> in_filter(["params", "cache"], "cache"), in_filter(False, "cache")
      (True, False)
    """
    if isinstance(filter_like, bool):
        return filter_like
    if isinstance(filter_like, str):
        return col == filter_like
    if isinstance(filter_like, DenyList):
        return not in_filter(filter_like.deny, col)
    if isinstance(filter_like, Collection):
        return col in filter_like
    raise InvalidFilterError(filter_like)


def is_filter_empty(filter_like: Filter) -> bool:
    """Return whether a filter selects nothing.

    Raises:
      InvalidFilterError: ``filter_like`` is not a filter.

    Example:
      >>> is_filter_empty([]), is_filter_empty(DenyList(True)), is_filter_empty("params")
      (True, True, False)
    """
    return _normal(filter_like) == (set(), False)


def filter_to_set(x: Filter) -> set[str]:
    """Return the names that a finite filter selects.

    Raises:
      AssertionError: ``x`` selects infinitely many names.
      InvalidFilterError: ``x`` is not a filter.

    Example:
      >>> filter_to_set("params"), filter_to_set(False)
      ({'params'}, set())
    """
    if x is True or isinstance(x, DenyList):
        msg = f"Expected a filter of a finite number of names, found {x!r}."
        raise AssertionError(msg)
    if x is False:
        return set()
    if isinstance(x, str):
        return {x}
    if isinstance(x, Collection):
        return set(x)
    raise InvalidFilterError(x)


# The normal form of a filter is (names, negated): these names, or all names except these. In this form an operation
# on filters is an operation on finite sets.


def _normal(filter_like: Filter) -> tuple[set[str], bool]:
    if filter_like is True:
        return set(), True
    if isinstance(filter_like, DenyList):
        names, negated = _normal(filter_like.deny)
        return names, not negated
    return filter_to_set(filter_like), False


def _from_normal(names: set[str], negated: bool) -> Filter:
    return DenyList(names) if negated else names


def union_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter of the names that ``a`` or ``b`` selects.

    Raises:
      InvalidFilterError: ``a`` or ``b`` is not a filter.

    Example:
      >>> union_filters("params", ["cache"]) == {"params", "cache"}
      True
    """
    if a is True or b is True:
        return True
    (a_names, a_negated), (b_names, b_negated) = _normal(a), _normal(b)
    if a_negated and b_negated:
        return DenyList(a_names & b_names)
    if a_negated:
        return DenyList(a_names - b_names)
    return DenyList(b_names - a_names) if b_negated else a_names | b_names


def intersect_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter of the names that both ``a`` and ``b`` select.

    Raises:
      InvalidFilterError: ``a`` or ``b`` is not a filter.

    Example:
      >>> intersect_filters(True, "params")
      'params'
      >>> intersect_filters(["params", "cache"], DenyList("cache"))
      {'params'}
    """
    if a is True or b is True:
        return b if a is True else a
    return _from_normal(*_complement(union_filters(_complement_filter(a), _complement_filter(b))))


def subtract_filters(a: Filter, b: Filter) -> Filter:
    """Return a filter of the names that ``a`` selects and ``b`` does not.

    Raises:
      InvalidFilterError: ``a`` or ``b`` is not a filter.

    Example:
      >>> subtract_filters(True, "params")
      DenyList(deny='params')
    """
    if b is True:
        return False
    return DenyList(b) if a is True else intersect_filters(a, _complement_filter(b))


def _complement(filter_like: Filter) -> tuple[set[str], bool]:
    names, negated = _normal(filter_like)
    return names, not negated


def _complement_filter(filter_like: Filter) -> Filter:
    return _from_normal(*_complement(filter_like))


_Value = TypeVar("_Value")


def group_collections(
    xs: Mapping[str, _Value], col_filters: Sequence[CollectionFilter]
) -> tuple[dict[str, _Value], ...]:
    """Split a mapping into one dict per filter.

    Each value goes to the first filter that selects its name. Values that match no filter are dropped.

    Example:
      >>> group_collections({"params": 1, "cache": 2}, ["cache", True])
      ({'cache': 2}, {'params': 1})
    """
    groups: tuple[dict[str, _Value], ...] = tuple({} for _ in col_filters)
    for name, value in xs.items():
        for group, filter_like in zip(groups, col_filters, strict=True):
            if in_filter(filter_like, name):
                group[name] = value
                break
    return groups
