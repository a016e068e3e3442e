"""What a call of a model wants, what a store has, and how the one fits the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_store.errors import (
    PatternUnmatchedError,
    RenameCollisionError,
    RenamePatternError,
    RngsMissingError,
)
from linen_store.reading.specs import array_spec, flatten_names, is_array_spec, render_spec
from linen_store.restoring.closest import ClosestNames

__all__ = [
    "Call",
    "Names",
    "Row",
    "Stored",
    "arrays_of",
    "check_matched",
    "index_store",
    "match",
    "mismatches",
    "read_array",
]

Names: TypeAlias = tuple[str, ...]
"""A collection and the names that lead to an array in it."""

_ARRAYS = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)
_SUGGESTIONS = 20


class Stored(NamedTuple):
    """One array of a store."""

    collection: str
    path: Names
    """Where the value lies that the array is, or is a part of."""

    names: Names
    """The collection, the path, and the names inside the value."""

    spec: Any

    @property
    def is_whole(self) -> bool:
        """Whether the array is the whole value."""
        return len(self.names) == 1 + len(self.path)


class Row(NamedTuple):
    """One array that the model wants."""

    names: Names
    wanted: Any
    """Its spec, as the model would initialise it."""

    stored: Stored | None
    """Where it is in the store."""


class Call:
    """A call of a model: its arrays, which are traced, and all else, which is not."""

    noun = "the model"

    wants_all = False
    """Whether all that is stored ought to be wanted: other collections are none of a model's business."""

    def __init__(self, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.model = model
        self.name = type(model).__name__
        inputs = (tuple(args), dict(kwargs))
        self._leaves, self._structure = jax.tree_util.tree_flatten(inputs)
        self._traced = [i for i, leaf in enumerate(self._leaves) if isinstance(leaf, _ARRAYS)]

    def expected(self, rngs: Any) -> Any:
        """Describe the variables that the call's `init` makes, in its structure."""
        arrays = [array_spec(leaf.shape, leaf.dtype) for leaf in self._arrays()]
        return jax.eval_shape(self.init, _some_key(rngs), arrays)

    def init(self, rngs: Any, arrays: Sequence[Any]) -> Any:
        """Initialise the variables, as a plain nested dict."""
        leaves = list(self._leaves)
        for index, array in zip(self._traced, arrays, strict=True):
            leaves[index] = array
        args, kwargs = jax.tree_util.tree_unflatten(self._structure, leaves)
        with nn.default_store(None):
            return self.model.init(rngs, *args, **kwargs)

    def can_initialize(self, names: Names) -> bool:
        """Return whether a variable can be made anew: all can."""
        return True

    def initialized(self, missing: Sequence[Names], rngs: Any) -> dict[Names, Any]:
        """Initialise the variables that the store lacks; the compiler drops the work for the others.

        Raises:
          RngsMissingError: there are no keys to do it with.
        """
        if rngs is None:
            raise RngsMissingError(self.name, missing)
        chosen = set(missing)

        def make(keys: Any, arrays: Sequence[Any]) -> dict[Names, Any]:
            names, made, _ = flatten_names(self.init(keys, arrays))
            return {name: leaf for name, leaf in zip(names, made, strict=True) if name in chosen}

        fresh: dict[Names, Any] = jax.jit(make)(rngs, self.concrete())
        return fresh

    def finished(self, names: Names, value: Any) -> Any:
        """Return a value as it was read."""
        return value

    def concrete(self) -> list[Any]:
        """Give the arrays of the call, zeros where only their shapes are known."""
        return [
            jnp.zeros(leaf.shape, leaf.dtype) if is_array_spec(leaf) else leaf
            for leaf in self._arrays()
        ]

    def also_reads(self, variables: Any, more: Mapping[Names, Stored], rngs: Any) -> set[Names]:
        """Find what the call reads of a store beyond what its `init` makes, a cache for example."""
        # A bare value in the place of a collection, the step of a train state, is none of a model's.
        whole = {names: one.spec for names, one in more.items() if one.is_whole and one.path}
        if not whole or not isinstance(self.model, nn.Module):
            return set()
        args, kwargs = jax.tree_util.tree_unflatten(self._structure, self._leaves)
        specs = _with(variables, whole)
        keys = _some_key(rngs)
        found = nn.touched(self.model, specs, *args, rngs=keys, mutable=True, **kwargs)
        return {(col, *path) for col, path in found.read} & set(whole)

    def _arrays(self) -> list[Any]:
        return [self._leaves[index] for index in self._traced]


def _some_key(rngs: Any) -> Any:
    return {"params": jax.random.key(0)} if rngs is None else rngs


def _with(tree: Mapping[str, Any], more: Mapping[Names, Any]) -> dict[str, Any]:
    """Copy nested dicts and add values to them, where no value is in the way."""
    copied: dict[str, Any] = _copy_dicts(tree)
    for names, value in more.items():
        node: Any = copied
        for name in names[:-1]:
            node = node.setdefault(name, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.setdefault(names[-1], value)
    return copied


def _copy_dicts(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _copy_dicts(child) for name, child in tree.items()}
    return tree


def index_store(store: nn.VariableStore, rename: Mapping[str, str | None]) -> dict[Names, Stored]:
    """List the arrays of a store by the names that the model knows them by.

    Raises:
      RenameCollisionError: two arrays get the same name.
      RenamePatternError: a pattern is no regular expression.
      PatternUnmatchedError: a pattern matches no name.
    """
    found: dict[Names, Stored] = {}
    matched: set[str] = set()
    stored = arrays_of(store)
    for one in stored:
        known_as = _renamed(one.names, rename, matched)
        if known_as is None:
            continue
        if known_as in found:
            raise RenameCollisionError(known_as, found[known_as].names, one.names)
        found[known_as] = one
    check_matched("rename", rename, matched, [one.names for one in stored])
    return found


def check_matched(
    argument: str, patterns: Iterable[str], matched: Collection[str], names: Sequence[Names]
) -> None:
    """Refuse patterns that match the name of no array.

    Raises:
      PatternUnmatchedError: one of them does not.
    """
    for pattern in patterns:
        if pattern not in matched:
            beginnings = {
                "/".join(name[:depth]) for name in names for depth in range(1, len(name) + 1)
            }
            parts = {part for name in names for part in name}
            letters = re.sub(r"\\.|[^\w/.-]", "", pattern).strip("/")
            closest = ClosestNames(sorted(beginnings | parts)).find(letters)
            raise PatternUnmatchedError(argument, pattern, closest)


def arrays_of(store: nn.VariableStore, *, nones: bool = False) -> list[Stored]:
    """List the arrays of a store, those inside of pytrees too, and with ``nones`` each None."""
    return [
        Stored(collection, path, (collection, *path, *more), spec)
        for collection in store.collections()
        for path, value in _values(store.spec(collection), ())
        for more, spec in zip(*flatten_names(value, nones=nones)[:2], strict=True)
    ]


def _values(tree: Any, path: Names) -> Iterator[tuple[Names, Any]]:
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, child in tree.items():
        yield from _values(child, (*path, name))


def read_array(store: nn.VariableStore, one: Stored) -> Any:
    """Read one array, alone or out of the pytree that it is in."""
    names, leaves, _ = flatten_names(store.get(one.collection, one.path))
    return leaves[names.index(one.names[1 + len(one.path) :])]


def _renamed(names: Names, rename: Mapping[str, str | None], matched: set[str]) -> Names | None:
    """Rename an array, None to leave it out, and note which patterns match."""
    before = joined = "/".join(names)
    is_left_out = False
    for pattern, replacement in rename.items():
        try:
            if re.search(pattern, joined) is None:
                continue
            matched.add(pattern)
            if replacement is None:
                is_left_out = True
            elif not is_left_out:
                joined = re.sub(pattern, replacement, joined)
        except (re.error, IndexError) as error:
            raise RenamePatternError(pattern, replacement, str(error)) from error
    if is_left_out:
        return None
    return names if joined == before else tuple(joined.split("/"))


def match(names: Names, stored: Mapping[Names, Stored]) -> Stored | None:
    """Find a variable, in its metadata box or out of it.

    A box, such as `linen_core.Partitioned`, keeps its array under the name ``value``.
    """
    if names in stored:
        return stored[names]
    if names[-1:] == ("value",) and names[:-1] in stored:
        return stored[names[:-1]]
    return stored.get((*names, "value"))


def mismatches(
    rows: Sequence[Row], unused: Mapping[Names, Stored], missing: Sequence[Row], noun: str
) -> list[str]:
    """Say what keeps a store from fitting: arrays of another shape or kind, and missing ones.

    Args:
      rows: all that is wanted.
      unused: what is stored and not wanted, among which the closest names are looked for.
      missing: those of the rows that are wanted, not stored, and not to be initialised.
      noun: what wants them.
    """
    problems = [
        f"{'/'.join(row.names)}: the store has {render_spec(row.stored.spec)}, "
        f"{noun} expects {render_spec(row.wanted)}"
        for row in rows
        if row.stored is not None and not _fits(row.wanted, row.stored.spec)
    ]
    return [*problems, *_missing_lines(missing, unused, noun)]


def _missing_lines(
    missing: Iterable[Row], unused: Mapping[Names, Stored], noun: str
) -> Iterator[str]:
    rows = list(missing)
    candidates = ClosestNames(["/".join(name) for name in unused] if rows else [])
    for index, row in enumerate(rows):
        joined = "/".join(row.names)
        # Of a long list the first few are enough.
        close = candidates.find(joined) if index < _SUGGESTIONS else None
        hint = "" if close is None else f", the closest name is {close}"
        yield f"{joined}: missing, {noun} expects {render_spec(row.wanted)}{hint}"


def _fits(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str)
    if not is_array_spec(found):
        return False
    shape, dtype = getattr(wanted, "shape", ()), getattr(wanted, "dtype", None)
    # A number of Python, such as the step of a train state, is an array without axes to most formats.
    return shape == found.shape and _kind(dtype or np.result_type(wanted)) == _kind(found.dtype)


def _kind(dtype: Any) -> str:
    """Name what kind of number a dtype is: within a kind a model takes any width."""
    kinds = (jax.dtypes.prng_key, jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    return next((str(kind) for kind in kinds if jnp.issubdtype(dtype, kind)), str(dtype))
