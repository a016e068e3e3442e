"""Where a root scope inside of a lifted transform comes from, to say what the transform left outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from linen_core.filters import Filter, in_filter

if TYPE_CHECKING:
    from linen_core.scope.cursor import Cursor
    from linen_core.scope.scope import Scope

__all__ = ["Origin", "who_keeps_out", "who_keeps_out_stream"]


class Origin(NamedTuple):
    """What a lifted transform made a root scope of."""

    transform: str
    """Name of the transform."""
    outer: Scope
    """The scope that it was called with."""
    carried: tuple[Filter, ...]
    """Which collections it brought inside."""


def who_keeps_out(scope: Scope, col: str) -> str | None:
    """Name the transform around a scope that keeps a collection from being read or made there; None if none does."""
    for origin, root in _origins(scope):
        outer = origin.outer
        brought = any(in_filter(part, col) for part in origin.carried)
        if not brought and not outer.is_collection_empty(col):
            return origin.transform
        if in_filter(outer.mutable, col) and not in_filter(root.mutable, col):
            return origin.transform
    return None


def who_keeps_out_stream(scope: Cursor, stream: str) -> tuple[str, bool] | None:
    """Find the transform that leaves outside the stream that `make_rng` would draw from.

    Returns:
      Name of the transform, and whether what it leaves outside is the stream 'params', which serves in place of a
      stream that was not passed; None if no transform leaves out either.
    """
    for origin, _ in _origins(scope):
        if stream in origin.outer.rngs:
            return origin.transform, False
        if "params" in origin.outer.rngs:
            return origin.transform, True
    return None


def _origins(scope: Cursor) -> Iterator[tuple[Origin, Cursor]]:
    root: Cursor = scope.root
    while root.run.origin is not None:
        yield root.run.origin, root
        root = root.run.origin.outer.root
