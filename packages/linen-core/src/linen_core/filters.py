"""Filters: which collections, or RNG streams, something applies to.

A filter is a bool (all or none), a name, a collection of names, or a `DenyList` (all but those).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
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
    """Everything except what ``deny`` matches.

    Example:
      >>> in_filter(DenyList("params"), "cache"), in_filter(DenyList(["params"]), "params")
      (True, False)
    """

    deny: Filter
    """The filter of what is left out."""


Filter: TypeAlias = Union[bool, str, Collection[str], "DenyList"]
CollectionFilter: TypeAlias = Filter
PRNGSequenceFilter: TypeAlias = Filter


def in_filter(filter_like: Filter, name: str) -> bool:
    """Tell whether a filter lets a name through.

    Raises:
      InvalidFilterError: ``filter_like`` is no filter.
    """
    if isinstance(filter_like, bool):
        return filter_like
    if isinstance(filter_like, str):
        return name == filter_like
    if isinstance(filter_like, DenyList):
        return not in_filter(filter_like.deny, name)
    if isinstance(filter_like, Collection):
        return name in filter_like
    raise InvalidFilterError(filter_like)


def is_filter_empty(filter_like: Filter) -> bool:
    """Tell whether a filter lets nothing through.

    Raises:
      InvalidFilterError: ``filter_like`` is no filter.
    """
    if isinstance(filter_like, DenyList):
        return filter_like.deny is True
    if isinstance(filter_like, str):
        return False
    if isinstance(filter_like, bool | Collection):
        return not filter_like
    raise InvalidFilterError(filter_like)


def filter_to_set(filter_like: Filter) -> set[str]:
    """Name what a finite filter lets through.

    Raises:
      InvalidFilterError: ``filter_like`` is no filter, or one that lets infinitely many names through.
    """
    if filter_like is False:
        return set()
    if isinstance(filter_like, str):
        return {filter_like}
    if isinstance(filter_like, Collection):
        return set(filter_like)
    raise InvalidFilterError(filter_like)


# A filter in normal form is (names, negated): the names, or everything but the names. Every operation on
# filters is then one operation on finite sets.


def _normal(filter_like: Filter) -> tuple[set[str], bool]:
    if filter_like is True:
        return set(), True
    if isinstance(filter_like, DenyList):
        names, negated = _normal(filter_like.deny)
        return names, not negated
    return filter_to_set(filter_like), False


def _from_normal(names: set[str], negated: bool) -> Filter:
    if not negated:
        return names
    return DenyList(names) if names else True


def union_filters(a: Filter, b: Filter) -> Filter:
    """Let through what either filter lets through.

    Example:
      >>> union_filters("params", ["cache"]) == {"params", "cache"}
      True
    """
    return _complement(intersect_filters(_complement(a), _complement(b)))


def intersect_filters(a: Filter, b: Filter) -> Filter:
    """Let through what both filters let through.

    Example:
      >>> intersect_filters(True, "params")
      {'params'}
    """
    (a_names, a_negated), (b_names, b_negated) = _normal(a), _normal(b)
    if a_negated and b_negated:
        return _from_normal(a_names | b_names, True)
    if a_negated:
        return b_names - a_names
    return a_names - b_names if b_negated else a_names & b_names


def subtract_filters(a: Filter, b: Filter) -> Filter:
    """Let through what ``a`` lets through and ``b`` does not.

    Example:
      >>> subtract_filters(True, "params")
      DenyList(deny={'params'})
    """
    return intersect_filters(a, _complement(b))


def _complement(filter_like: Filter) -> Filter:
    names, negated = _normal(filter_like)
    return _from_normal(names, not negated)


_Value = TypeVar("_Value")


def group_collections(
    values: dict[str, _Value], filters: Sequence[Filter]
) -> tuple[dict[str, _Value], ...]:
    """Give each named value to the first filter that lets its name through; drop the rest.

    Example:
      >>> group_collections({"params": 1, "cache": 2}, ["cache", True])
      ({'cache': 2}, {'params': 1})
    """
    groups: tuple[dict[str, _Value], ...] = tuple({} for _ in filters)
    for name, value in values.items():
        for group, filter_like in zip(groups, filters, strict=True):
            if in_filter(filter_like, name):
                group[name] = value
                break
    return groups
