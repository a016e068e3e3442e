"""Lifting: turns a JAX transform of functions of arrays into a transform of functions of scopes.

A JAX transform needs a pure function of arrays, but a function of scopes reads and writes variables and draws keys.
`Lifted` converts one to the other in four steps:

1. It collects the variables and RNG streams of the scopes into groups. Each group is one argument of the JAX
   transform, since the transform treats all variables of a group alike (`vmap` maps a group over one axis).
2. Inside the transform, `open` creates new scopes over the traced groups.
3. After the function has returned, `close` invalidates these scopes and returns the variables that were written. A
   later use would read a tracer of a finished trace.
4. Outside of the transform, `publish` writes the returned variables to the original scopes.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import jax

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
from linen_core.typing import Path, PyTree

__all__ = ["EMPTY", "Group", "Groups", "Lifted", "lifts_scopes", "unzip"]

Group: TypeAlias = tuple[dict[str, Any], ...]
"""The collections (or RNG streams) that one filter selects: a dict by name for each scope."""

Groups: TypeAlias = tuple[Group, ...]
"""One group per filter."""

EMPTY: Mapping[Any, Any] = MappingProxyType({})
"""Default of arguments that are mappings."""


class Lifted:
    """The scopes of one call of a lifted transform.

    Args:
      scopes: scopes, or a pytree of them.
      in_filters: for each group of variables that enters the transform, a filter of its collections.
      out_filters: the same for the groups that leave it. Other collections cannot be written inside.
      rng_filters: for each group of RNG streams, a filter of its streams.
      name: name of the transform, for error messages.

    Attributes:
      variable_groups: the groups of variables to pass to the transform.
      rng_groups: the groups of streams to pass to the transform.
      scopes: the scopes without those that lie below another one. A variable of such a scope would otherwise enter
        the transform twice, and a write to one copy would be lost.
      structure: the tree structure of the ``scopes`` argument.
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
            [group_collections(_snapshot(scope._variables), in_filters) for scope in self.scopes]
        )
        self.rng_groups = _by_filter(
            [group_collections(scope.rngs, rng_filters) for scope in self.scopes]
        )

    def open(self, variable_groups: Groups, rng_groups: Groups, mutable: Filter = True) -> Any:
        """Create scopes over groups, for use inside the transform.

        Args:
          variable_groups: the traced values of `variable_groups`.
          rng_groups: the traced values of `rng_groups`.
          mutable: which collections the scopes may write. A collection that no out filter selects, or that the outer
            scope may not write, is immutable in any case.

        Returns:
          The scopes, in the tree structure of the original ones.
        """
        may_leave: Filter = False
        for out_filter in self._out_filters:
            may_leave = union_filters(may_leave, out_filter)
        writable = intersect_filters(may_leave, mutable)
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
        # Shared, not copied: a draw after the transform must not repeat a key that was drawn inside.
        inner.rng_counters = outer.rng_counters
        return inner

    def _debug_path(self, outer: Scope) -> Path:
        if not self._name:
            return outer.debug_path
        if not outer.debug_path:
            return (f"{self._name}()",)
        return (*outer.debug_path[:-1], f"{self._name}({outer.debug_path[-1]})")

    def call(
        self,
        fn: Callable[..., Any],
        variable_groups: Groups,
        rng_groups: Groups,
        /,
        *args: object,
        **kwargs: object,
    ) -> tuple[Any, Groups]:
        """Call a function of scopes inside the transform: `open`, call, `close`.

        Returns:
          The result of the function and the groups of variables to pass out of the transform.
        """
        scopes = self.open(variable_groups, rng_groups)
        result = fn(scopes, *args, **kwargs)
        return result, self.close(scopes)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Mark the original scopes as being inside the transform, for the length of a `with` block."""
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
    def where(self) -> str:
        """The path of the first scope, for error messages."""
        return "/" + "/".join(self._debug_path(self.scopes[0]))

    def writes(self, collections: CollectionFilter) -> bool:
        """Return whether at least one of the collections may be written inside."""
        return not all(
            is_filter_empty(intersect_filters(scope.mutable, collections)) for scope in self.scopes
        )

    def share_immutable(self, shared: Group, carried: Group) -> tuple[Any, Any]:
        """Move the immutable collections of a loop from its carried variables to its shared ones.

        `close` returns mutable collections only. An immutable one among the carried variables would be missing from the
        carry that a step returns, and JAX would reject the loop.

        Args:
          shared: for each scope the collections that are the same in all steps.
          carried: for each scope the collections that are passed from step to step.
        """
        pairs = []
        for scope, fixed, moving in zip(self.scopes, shared, carried, strict=True):
            writable = {col: moving[col] for col in moving if in_filter(scope.mutable, col)}
            others = {col: moving[col] for col in moving if col not in writable}
            pairs.append(({**fixed, **others}, writable))
        return unzip(pairs)

    def close(self, scopes: PyTree) -> Groups:
        """Invalidate opened scopes and return their mutable collections, in one group per out filter.

        An out filter selects each of them: `open` makes only such collections mutable.
        """
        tops, _ = _find_tops(self.structure.flatten_up_to(scopes))
        groups = []
        for scope in tops:
            scope.invalidate()
            mutable = {
                col: values
                for col, values in scope._variables.items()
                if in_filter(scope.mutable, col)
            }
            groups.append(group_collections(mutable, self._out_filters))
        return _by_filter(groups)

    def publish(self, groups: Groups) -> None:
        """Write the groups that left the transform to the original scopes."""
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
    """Decorator that turns a function of a `Lifted` and arguments into a function of scopes and arguments.

    The decorated function returns its result and the groups of variables to publish.

    Args:
      in_filters: as for `Lifted`.
      out_filters: as for `Lifted`.
      rng_filters: as for `Lifted`.
      name: as for `Lifted`.
      takes_kwargs: whether keyword arguments are passed on; otherwise they are ignored with a warning.
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
    """Split pairs into a tuple of first elements and a tuple of second elements."""
    first, second = [], []
    for a, b in pairs:
        first.append(a)
        second.append(b)
    return tuple(first), tuple(second)


def _find_tops(scopes: Sequence[Scope]) -> tuple[list[Scope], list[tuple[Scope, Path]]]:
    """Find the scopes that do not lie below another one of them.

    Returns:
      These topmost scopes, and for each scope its topmost ancestor with the names that lead from there to the scope.
    """
    distinct = dict.fromkeys(scopes)
    tops: dict[Scope, None] = {}
    paths = []
    for scope in scopes:
        top = scope
        path: Path = ()
        names: Path = ()
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


def _merged(groups: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for group in groups for name, value in group.items()}


def _by_filter(groups_of_scopes: Sequence[Sequence[Any]]) -> Groups:
    """Transpose from one tuple per scope to one tuple per filter."""
    return tuple(zip(*groups_of_scopes, strict=True))


def _by_scope(groups: Groups, scopes: int) -> Iterable[Any]:
    """Transpose back; without filters each scope gets an empty tuple."""
    return zip(*groups, strict=True) if groups else [()] * scopes
