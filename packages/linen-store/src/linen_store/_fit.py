"""What a call of a model wants, what a store has, and how the one fits the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from linen_store._closest import ClosestNames
from linen_store._specs import array_spec, flatten_names, is_array_spec, render_spec
from linen_store.errors import RenameCollisionError, RenamePatternError

__all__ = [
    "Call",
    "Names",
    "Row",
    "Stored",
    "arrays_of",
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
    """
    found: dict[Names, Stored] = {}
    for one in arrays_of(store):
        known_as = _renamed(one.names, rename)
        if known_as is None:
            continue
        if known_as in found:
            raise RenameCollisionError(known_as, found[known_as].names, one.names)
        found[known_as] = one
    return found


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


def _renamed(names: Names, rename: Mapping[str, str | None]) -> Names | None:
    before = joined = "/".join(names)
    for pattern, replacement in rename.items():
        try:
            if replacement is not None:
                joined = re.sub(pattern, replacement, joined)
            elif re.search(pattern, joined):
                return None
        except (re.error, IndexError) as error:
            raise RenamePatternError(pattern, replacement, str(error)) from error
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
    rows: Sequence[Row], unused: Mapping[Names, Stored], *, init_missing: bool
) -> list[str]:
    """Say what keeps a store from fitting: arrays of another shape or kind, and missing ones."""
    problems = [
        f"{'/'.join(row.names)}: the store has {render_spec(row.stored.spec)}, "
        f"the model expects {render_spec(row.wanted)}"
        for row in rows
        if row.stored is not None and not _fits(row.wanted, row.stored.spec)
    ]
    missing = () if init_missing else [row for row in rows if row.stored is None]
    return [*problems, *_missing_lines(missing, unused)]


def _missing_lines(missing: Iterable[Row], unused: Mapping[Names, Stored]) -> Iterator[str]:
    rows = list(missing)
    candidates = ClosestNames(["/".join(name) for name in unused] if rows else [])
    for index, row in enumerate(rows):
        joined = "/".join(row.names)
        # Of a long list the first few are enough.
        close = candidates.find(joined) if index < _SUGGESTIONS else None
        hint = "" if close is None else f", the closest name is {close}"
        yield f"{joined}: missing, the model expects {render_spec(row.wanted)}{hint}"


def _fits(wanted: Any, found: Any) -> bool:
    if not is_array_spec(found) or wanted.shape != found.shape:
        return False
    return _kind(wanted.dtype) == _kind(found.dtype)


def _kind(dtype: Any) -> str:
    """Name what kind of number a dtype is: within a kind a model takes any width."""
    kinds = (jax.dtypes.prng_key, jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)
    return next((str(kind) for kind in kinds if jnp.issubdtype(dtype, kind)), str(dtype))
