"""The lifting engine: scopes' variables and RNG streams taken out, put through a JAX transform, and back.

A JAX transform works on functions of arrays; a function of scopes also reads and writes variables and draws
keys. `Lifted` turns the one into the other: it takes the values out of the scopes in groups, one for each way
that the transform treats them; inside of the transform it opens new scopes over the groups; when the function
is done it closes them and gives the groups that were written; outside of the transform it publishes those.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import jax

from linen_core.errors import UnmappedCollectionError
from linen_core.filters import (
    CollectionFilter,
    Filter,
    group_collections,
    in_filter,
    intersect_filters,
    is_filter_empty,
    union_filters,
)
from linen_core.scope.cursor import LiftedFrom
from linen_core.scope.scope import Scope
from linen_core.store.view import snapshot_mapping
from linen_core.typing import PyTree

__all__ = ["Group", "Groups", "Lifted", "lifts_scopes", "unzip"]

Group: TypeAlias = tuple[dict[str, Any], ...]
"""Collections, or RNG streams: for each scope, by name."""

Groups: TypeAlias = tuple[Group, ...]
"""The same for each filter."""


class Lifted:
    """The scopes of one call of a lifted transform.

    Args:
      scopes: scopes, or a pytree of them.
      in_filters: which collections go into each group of variables.
      out_filters: the same for the variables that come out; all others cannot be written inside.
      rng_filters: which RNG streams go into each group of streams.
      name: of the transform, for error texts.

    Attributes:
      variable_groups: the groups to hand to the transform.
      rng_groups: the groups of streams to hand to the transform.
      scopes: the scopes, those left out that lie below another.
      structure: the structure of the scopes that the transform was called with.
    """

    def __init__(
        self,
        scopes: PyTree,
        in_filters: Sequence[CollectionFilter],
        out_filters: Sequence[CollectionFilter],
        rng_filters: Sequence[Filter],
        name: str,
    ) -> None:
        leaves, structure = jax.tree.flatten(scopes)
        self.structure: Any = structure
        self.scopes, self._paths = _find_tops(leaves)
        self._in_filters = tuple(in_filters)
        self._out_filters = tuple(out_filters)
        self._name = name
        for scope in self.scopes:
            scope._populate_collections()
        self.variable_groups = _by_filter(
            [_split(_snapshot(scope._variables), in_filters) for scope in self.scopes]
        )
        self.rng_groups = _by_filter([_split(scope.rngs, rng_filters) for scope in self.scopes])

    def open(self, variable_groups: Groups, rng_groups: Groups, mutable: Filter = True) -> Any:
        """Make scopes over groups, to be used inside of the transform.

        Args:
          variable_groups: what the transform made of `variable_groups`.
          rng_groups: what it made of `rng_groups`.
          mutable: which collections can be written, of those that may come out and that the outer scopes may write.

        Returns:
          The scopes, in the structure of those that the transform was called with.
        """
        may_come_out: Filter = False
        for out_filter in self._out_filters:
            may_come_out = union_filters(may_come_out, out_filter)
        writable = intersect_filters(may_come_out, mutable)
        opened = {
            outer: self._open_one(outer, variables, rngs, writable)
            for outer, variables, rngs in zip(
                self.scopes,
                _by_scope(variable_groups, len(self.scopes)),
                _by_scope(rng_groups, len(self.scopes)),
                strict=True,
            )
        }
        leaves = []
        for top, path in self._paths:
            scope = opened[top]
            for name in path:
                scope = scope.push(name, reuse=True)
            leaves.append(scope)
        return jax.tree.unflatten(self.structure, leaves)

    def _open_one(
        self, outer: Scope, variables: Iterable[Any], rngs: Iterable[Any], writable: Filter
    ) -> Scope:
        inner = Scope(
            _snapshot(_merged(variables)),
            rngs=_merged(rngs),
            name=outer.name,
            mutable=intersect_filters(outer.mutable, writable),
            path=outer.path,
            debug_path=self._debug_path(outer),
            flags=outer.flags,
        )
        inner.run.observer = outer.run.observer
        inner.run.lifted_from = LiftedFrom(self._name, outer, self._in_filters)
        inner.rng_counters = outer.rng_counters  # counting goes on where it was, inside and outside
        return inner

    def _debug_path(self, outer: Scope) -> tuple[str, ...]:
        if not self._name:
            return outer.debug_path
        if not outer.debug_path:
            return (f"{self._name}()",)
        return (*outer.debug_path[:-1], f"{self._name}({outer.debug_path[-1]})")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Let the scopes outside know, inside a `with` block, that the transform runs its function."""
        runs = [scope.run for scope in self.scopes]
        before = [run.entered_transform for run in runs]
        for run in runs:
            run.entered_transform = self._name
        try:
            yield
        finally:
            for run, name in zip(runs, before, strict=True):
                run.entered_transform = name

    @property
    def runs_forward(self) -> bool:
        """Whether the results of the run are used, and not its variables alone."""
        observer = self.scopes[0].run.observer
        return observer is None or observer.runs_forward

    @property
    def where(self) -> str:
        """The path of the first scope, for error texts."""
        return "/" + "/".join(self._debug_path(self.scopes[0]))

    def writes(self, collections: CollectionFilter) -> bool:
        """Tell whether any of some collections may be written inside."""
        return not all(
            is_filter_empty(intersect_filters(scope.mutable, collections)) for scope in self.scopes
        )

    def share_immutable(self, shared: Group, carried: Group) -> tuple[Any, Any]:
        """Move collections that a loop cannot write from its carried variables to those that all steps share.

        Args:
          shared: for each scope the collections that are the same in all steps.
          carried: for each scope the collections that are handed from step to step.
        """
        pairs = []
        for scope, fixed, moving in zip(self.scopes, shared, carried, strict=True):
            writable = {col: moving[col] for col in moving if in_filter(scope.mutable, col)}
            others = {col: moving[col] for col in moving if col not in writable}
            pairs.append(({**fixed, **others}, writable))
        return unzip(pairs)

    def close(self, scopes: PyTree) -> Groups:
        """End the use of opened scopes and return what was written, in groups of the out filters.

        Raises:
          UnmappedCollectionError: a collection was written that no out filter matches.
        """
        tops, _ = _find_tops(self.structure.flatten_up_to(scopes))
        groups = []
        for scope in tops:
            scope.invalidate()
            written = {
                col: values
                for col, values in scope._variables.items()
                if in_filter(scope.mutable, col)
            }
            group = _split(written, self._out_filters)
            unmapped = set(written).difference(*group)
            if unmapped:
                raise UnmappedCollectionError(self._name, scope.path_text, unmapped)
            groups.append(group)
        return _by_filter(groups)

    def publish(self, groups: Groups) -> None:
        """Write what came out of the transform into the scopes it was called with."""
        for scope, out_groups in zip(self.scopes, _by_scope(groups, len(self.scopes)), strict=True):
            for group in out_groups:
                for col, collection in group.items():
                    if scope.is_mutable_collection(col):
                        for name, value in collection.items():
                            scope.put_variable(col, name, value)


def lifts_scopes(
    in_filters: Sequence[CollectionFilter],
    out_filters: Sequence[CollectionFilter],
    rng_filters: Sequence[Filter],
    name: str,
    takes_kwargs: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function of a `Lifted` and arguments one of scopes and arguments.

    The decorated function returns its result and the groups of variables to publish.

    Args:
      in_filters: as for `Lifted`.
      out_filters: as for `Lifted`.
      rng_filters: as for `Lifted`.
      name: as for `Lifted`.
      takes_kwargs: whether keyword arguments are handed on; if not they are ignored, with a warning.
    """

    def decorate(run: Callable[..., Any]) -> Callable[..., Any]:
        def lifted_run(scopes: PyTree, /, *args: object, **kwargs: object) -> Any:
            if kwargs and not takes_kwargs:
                msg = f"{name} takes no keyword arguments: {', '.join(kwargs)} is ignored. Pass it by position."
                warnings.warn(msg, RuntimeWarning, stacklevel=2)
                kwargs = {}
            lifted = Lifted(scopes, in_filters, out_filters, rng_filters, name)
            with lifted.entered():
                result, groups = run(lifted, *args, **kwargs)
            lifted.publish(groups)
            return result

        return lifted_run

    return decorate


def unzip(pairs: Iterable[tuple[Any, Any]]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Part pairs into the firsts and the seconds."""
    first, second = [], []
    for a, b in pairs:
        first.append(a)
        second.append(b)
    return tuple(first), tuple(second)


def _find_tops(scopes: Sequence[Scope]) -> tuple[list[Scope], list[tuple[Scope, tuple[str, ...]]]]:
    """Leave out scopes that lie below another one of them.

    Returns:
      The scopes that are left, and for each of all scopes the one above it with the names on the way down.
    """
    distinct = dict.fromkeys(scopes)
    tops: dict[Scope, None] = {}
    paths = []
    for scope in scopes:
        top = scope
        path: tuple[str, ...] = ()
        names: tuple[str, ...] = ()
        above = scope
        while above.parent is not None:
            names = (above.name or "", *names)
            above = above.parent
            if above in distinct:
                top, path = above, names
        tops[top] = None
        paths.append((top, path))
    return [scope for scope in distinct if scope in tops], paths


def _snapshot(collections: dict[str, Any]) -> dict[str, Any]:
    return {col: snapshot_mapping(values) for col, values in collections.items()}


def _split(values: dict[str, Any], filters: Sequence[Filter]) -> Group:
    return group_collections(values, filters)


def _merged(groups: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for group in groups for name, value in group.items()}


def _by_filter(groups_of_scopes: Sequence[Sequence[Any]]) -> Groups:
    return tuple(zip(*groups_of_scopes, strict=True))


def _by_scope(groups: Groups, scopes: int) -> Iterable[Any]:
    return zip(*groups, strict=True) if groups else [()] * scopes
