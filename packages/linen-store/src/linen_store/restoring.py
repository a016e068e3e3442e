"""Loading a model's variables from a store: exactly what a call uses, everything that does not fit told at once."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from linen_core import MemoryStore, VariableStore
from linen_store._specs import (
    array_spec,
    flatten_names,
    is_array_spec,
    key_name,
    nbytes,
    render_spec,
)
from linen_store._tree import Root
from linen_store.checkpoint_store import CheckpointStore
from linen_store.errors import RenameCollisionError, RestoreMismatchError, RngsMissingError
from linen_store.lazy_store import LazyStore

__all__ = ["RestoreReport", "Restored", "restore"]

Names: TypeAlias = tuple[str, ...]
ModelSharding: TypeAlias = (
    jax.sharding.Sharding
    | Callable[[Names, jax.ShapeDtypeStruct], jax.sharding.Sharding | None]
    | Mapping[str, Any]
    | None
)
"""One sharding for all, a function of a variable's names and spec, or a tree of shardings like the variables."""

_SHOWN = 20
_ARRAYS = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What `restore` did. Every name is a variable's collection and path, or a leaf's names in the store."""

    loaded: tuple[Names, ...]
    """Variables that came from the store."""

    initialized: tuple[Names, ...]
    """Variables that the store lacks and that were initialised instead."""

    unexpected: tuple[Names, ...]
    """Leaves of the model's collections that the store has and the model does not use."""

    other_dtype: tuple[tuple[Names, str, str], ...]
    """Variables whose floating-point or integer width is not the one the model would initialise: as it is, and as
    the model makes it."""

    bytes: int
    """Size of what was loaded."""

    def __str__(self) -> str:
        lines = [f"loaded {len(self.loaded)} variables, {self.bytes:,} bytes"]
        for title, names in (("initialized", self.initialized), ("unexpected", self.unexpected)):
            lines += _listed(title, ["/".join(name) for name in names])
        lines += _listed(
            "other dtype",
            [f"{'/'.join(names)}: {is_} not {made}" for names, is_, made in self.other_dtype],
        )
        return "\n".join(lines)


class Restored(NamedTuple):
    """What `restore` returns."""

    variables: dict[str, Any]
    """The variables, in the structure that ``model.init`` gives."""

    report: RestoreReport
    """Where they came from."""


class _Stored(NamedTuple):
    """One array of the store."""

    collection: str
    path: Names
    position: int
    """Which leaf of the value it is, where the value is a pytree."""
    spec: Any
    names: Names


def restore(
    model: Any,
    store: VariableStore | Mapping[str, Any] | str | os.PathLike[str],
    *args: Any,
    method: Any = None,
    rngs: Any = None,
    rename: Mapping[str, str | None] | None = None,
    init_missing: bool = False,
    strict: bool = True,
    root: Root = None,
    dtype: Any = None,
    sharding: ModelSharding = None,
    **kwargs: Any,
) -> Restored:
    """Load the variables that a call of a model uses.

    The model is traced abstractly to learn its variables; nothing is computed. All that is wrong with the store is
    told in one error, before a value is read; then all values are read in one batch.

    Args:
      model: the module.
      store: a store, a mapping of variables, or the path of a checkpoint.
      *args: what the model is called with; `jax.ShapeDtypeStruct` will do for arrays.
      method: which method is called, ``__call__`` by default.
      rngs: a key, or keys by stream, for ``init_missing``.
      rename: regular expressions and what replaces them, in the order given, in the name of each stored leaf,
        written ``collection/module/name``. None instead of a replacement leaves the matching leaves out.
      init_missing: whether to initialise what the store lacks, instead of failing.
      strict: whether leaves that the model does not use, in the collections that it uses, are an error.
      root: which part of a checkpoint holds the collections, where ``store`` is a path (see `CheckpointStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where variables are put.
      **kwargs: keyword arguments of the call.

    Returns:
      The variables, ready for ``model.apply``, and a report.

    Raises:
      RestoreMismatchError: leaves are missing, unexpected, or of another shape or kind.
      RngsMissingError: something must be initialised, and no ``rngs`` were given.
      RenameCollisionError: two leaves get the same name.
      StoreError: the store cannot be opened or read.

    Example:
      >>> import tempfile, linen_core as nn, linen_store
      >>> model, x = nn.Dense(3), jnp.ones((1, 2))
      >>> path = os.path.join(tempfile.mkdtemp(), "model")
      >>> linen_store.save(path, model.init(jax.random.key(0), x))
      >>> variables, report = linen_store.restore(model, path, x)
      >>> print(report)
      loaded 2 variables, 36 bytes
      >>> model.apply(variables, x).shape
      (1, 3)
    """
    call = _Call(model, args, {**kwargs, **({} if method is None else {"method": method})})
    with contextlib.ExitStack() as stack:
        opened = _opened(store, root, stack)
        return _restore(
            call,
            opened,
            rngs,
            rename=rename or {},
            init_missing=init_missing,
            strict=strict,
            dtype=dtype,
            sharding=sharding,
        )


def _restore(
    call: _Call,
    opened: VariableStore,
    rngs: Any,
    *,
    rename: Mapping[str, str | None],
    init_missing: bool,
    strict: bool,
    dtype: Any,
    sharding: ModelSharding,
) -> Restored:
    names, wanted, structure = flatten_names(
        jax.eval_shape(call.init, _some_rngs(rngs), call.specs())
    )
    stored = _index(opened, {name[0] for name in names if name}, rename)
    chosen = [_match(name, stored) for name in names]
    report = _compare(call.name, opened, names, wanted, chosen, stored, init_missing, strict)
    if report.initialized and rngs is None:
        raise RngsMissingError(call.name, report.initialized)
    values = _read(opened, names, chosen, dtype, sharding)
    if report.initialized:
        fresh = _initialize(call, rngs, set(report.initialized), dtype, sharding)
        values = [fresh.get(name, value) for name, value in zip(names, values, strict=True)]
    return Restored(jax.tree_util.tree_unflatten(structure, values), report)


class _Call:
    """The call whose variables are wanted: its arrays, which are traced, and all else, which is not."""

    def __init__(self, model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.model = model
        self.name = type(model).__name__
        self._leaves, self._structure = jax.tree_util.tree_flatten((tuple(args), dict(kwargs)))
        self._traced = [
            index for index, leaf in enumerate(self._leaves) if isinstance(leaf, _ARRAYS)
        ]

    def specs(self) -> list[Any]:
        """Describe the arrays of the call."""
        return [_described(self._leaves[i]) for i in self._traced]

    def arrays(self) -> list[Any]:
        """Give the arrays of the call, zeros where only their shapes are known."""
        leaves = [self._leaves[index] for index in self._traced]
        return [
            jnp.zeros(leaf.shape, leaf.dtype) if is_array_spec(leaf) else leaf for leaf in leaves
        ]

    def init(self, rngs: Any, arrays: Sequence[Any]) -> Any:
        """Initialise all the variables."""
        leaves = list(self._leaves)
        for index, array in zip(self._traced, arrays, strict=True):
            leaves[index] = array
        args, kwargs = jax.tree_util.tree_unflatten(self._structure, leaves)
        return self.model.init(rngs, *args, **kwargs)


def _described(leaf: Any) -> Any:
    return leaf if is_array_spec(leaf) else array_spec(leaf.shape, leaf.dtype)


def _opened(store: Any, root: Root, stack: contextlib.ExitStack) -> VariableStore:
    if isinstance(store, str | os.PathLike):
        return stack.enter_context(CheckpointStore(store, root))
    return store if isinstance(store, VariableStore) else MemoryStore(store)


def _some_rngs(rngs: Any) -> Any:
    return {"params": jax.random.key(0)} if rngs is None else rngs


def _index(
    store: VariableStore, collections: set[str], rename: Mapping[str, str | None]
) -> dict[Names, _Stored]:
    """List the arrays of a store by the names that the model knows them by."""
    found: dict[Names, _Stored] = {}
    for collection in store.collections():
        # Collections that the model does not use may be large (the state of an optimiser, say).
        if not rename and collection not in collections:
            continue
        for path in store.leaves(collection):
            inner, specs, _ = flatten_names(store.spec(collection, path))
            for position, (more, spec) in enumerate(zip(inner, specs, strict=True)):
                names = (collection, *path, *more)
                known_as = _renamed(names, rename)
                if known_as is None or known_as[0] not in collections:
                    continue
                if known_as in found:
                    raise RenameCollisionError(known_as, found[known_as].names, names)
                found[known_as] = _Stored(collection, path, position, spec, names)
    return found


def _renamed(names: Names, rename: Mapping[str, str | None]) -> Names | None:
    before = joined = "/".join(names)
    for pattern, replacement in rename.items():
        if replacement is None:
            if re.search(pattern, joined):
                return None
        else:
            joined = re.sub(pattern, replacement, joined)
    return names if joined == before else tuple(joined.split("/"))


def _match(names: Names, stored: Mapping[Names, _Stored]) -> _Stored | None:
    """Find a variable, in its metadata box or out of it: a box keeps its array under the name ``value``."""
    if names in stored:
        return stored[names]
    if names[-1:] == ("value",) and names[:-1] in stored:
        return stored[names[:-1]]
    return stored.get((*names, "value"))


def _compare(
    model: str,
    store: VariableStore,
    names: Sequence[Names],
    wanted: Sequence[Any],
    chosen: Sequence[_Stored | None],
    stored: Mapping[Names, _Stored],
    init_missing: bool,
    strict: bool,
) -> RestoreReport:
    used = {one.names for one in chosen if one is not None}
    unused = {known_as: one for known_as, one in stored.items() if one.names not in used}
    missing = [
        (name, spec) for name, spec, one in zip(names, wanted, chosen, strict=True) if one is None
    ]
    pairs = [
        (name, spec, one.spec)
        for name, spec, one in zip(names, wanted, chosen, strict=True)
        if one is not None
    ]
    problems = [
        f"{'/'.join(name)}: the store has {render_spec(found)}, the model expects {render_spec(spec)}"
        for name, spec, found in pairs
        if not _fits(spec, found)
    ]
    if not init_missing:
        problems += _missing_lines(missing, unused)
    if strict:
        problems += [
            f"{'/'.join(name)}: unexpected {render_spec(one.spec)}, the model does not use it"
            for name, one in unused.items()
        ]
    if problems:
        raise RestoreMismatchError(model, repr(store), problems)
    return RestoreReport(
        loaded=tuple(name for name, _, _ in pairs),
        initialized=tuple(name for name, _ in missing),
        unexpected=tuple(one.names for one in unused.values()),
        other_dtype=tuple(
            (name, str(found.dtype), str(spec.dtype))
            for name, spec, found in pairs
            if found.dtype != spec.dtype
        ),
        bytes=sum(nbytes(found) for _, _, found in pairs),
    )


def _missing_lines(
    missing: Sequence[tuple[Names, Any]], unused: Mapping[Names, _Stored]
) -> Iterable[str]:
    candidates = ["/".join(name) for name in unused]
    for index, (name, spec) in enumerate(missing):
        joined = "/".join(name)
        # Looking for close names is quadratic; a long list needs no more than its first few.
        close = difflib.get_close_matches(joined, candidates, n=1) if index < _SHOWN else []
        hint = f", the closest name is {close[0]}" if close else ""
        yield f"{joined}: missing, the model expects {render_spec(spec)}{hint}"


def _fits(expected: Any, found: Any) -> bool:
    if not is_array_spec(found) or expected.shape != found.shape:
        return False
    return _category(expected.dtype) == _category(found.dtype)


def _category(dtype: Any) -> str:
    for kind in (jax.dtypes.prng_key, jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating):
        if jnp.issubdtype(dtype, kind):
            return str(kind)
    return str(dtype)


def _read(
    store: VariableStore,
    names: Sequence[Names],
    chosen: Sequence[_Stored | None],
    dtype: Any,
    sharding: ModelSharding,
) -> list[Any]:
    """Read each collection in one batch; what is missing stays None."""
    known_as = {one.names: name for name, one in zip(names, chosen, strict=True) if one is not None}
    values: dict[Names, Any] = {}
    for collection in dict.fromkeys(one.collection for one in chosen if one is not None):
        paths = list(
            dict.fromkeys(
                one.path for one in chosen if one is not None and one.collection == collection
            )
        )
        for path, value in zip(
            paths, _read_paths(store, collection, paths, known_as, dtype, sharding), strict=True
        ):
            inner, leaves, _ = flatten_names(value)
            values.update(
                ((collection, *path, *more), leaf) for more, leaf in zip(inner, leaves, strict=True)
            )
    return [None if one is None else values[one.names] for one in chosen]


def _read_paths(
    store: VariableStore,
    collection: str,
    paths: Sequence[Names],
    known_as: Mapping[Names, Names],
    dtype: Any,
    sharding: ModelSharding,
) -> list[Any]:
    if not isinstance(store, LazyStore):
        values = store.read(collection, paths)
        return [
            jax.tree_util.tree_map_with_path(
                lambda keys, leaf, path=path: _placed(
                    leaf, known_as.get((collection, *path, *map(key_name, keys))), dtype, sharding
                ),
                value,
            )
            for path, value in zip(paths, values, strict=True)
        ]
    variable = {
        in_file: known_as.get((collection, *path, *more))
        for path in paths
        for in_file, more in zip(
            store.leaf_names(collection, path),
            flatten_names(store.spec(collection, path))[0],
            strict=True,
        )
    }

    def where(in_file: Names, spec: jax.ShapeDtypeStruct) -> jax.sharding.Sharding | None:
        name = variable.get(in_file)
        return None if name is None else _sharding_of(name, spec, sharding)

    return store.read_placed(
        collection, paths, dtype=dtype, sharding=None if sharding is None else where
    )


def _sharding_of(name: Names, spec: Any, sharding: ModelSharding) -> jax.sharding.Sharding | None:
    if isinstance(sharding, Mapping):
        flat = dict(zip(*flatten_names(sharding)[:2], strict=True))
        found = flat.get(name, flat.get(name[:-1]) if name[-1:] == ("value",) else None)
        return found if isinstance(found, jax.sharding.Sharding) else None
    return sharding(name, spec) if callable(sharding) else sharding


def _placed(leaf: Any, name: Names | None, dtype: Any, sharding: ModelSharding) -> Any:
    if name is None or not hasattr(leaf, "dtype"):
        return leaf
    if dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = leaf.astype(jnp.dtype(dtype))
    where = _sharding_of(name, array_spec(leaf.shape, leaf.dtype), sharding)
    return leaf if where is None else jax.device_put(leaf, where)


def _initialize(
    call: _Call, rngs: Any, missing: set[Names], dtype: Any, sharding: ModelSharding
) -> dict[Names, Any]:
    """Initialise the variables that the store lacks; the compiler drops the work for the others."""

    def make(keys: Any, arrays: Sequence[Any]) -> dict[Names, Any]:
        names, made, _ = flatten_names(call.init(keys, arrays))
        return {name: leaf for name, leaf in zip(names, made, strict=True) if name in missing}

    fresh = jax.jit(make)(rngs, call.arrays())
    return {name: _placed(leaf, name, dtype, sharding) for name, leaf in fresh.items()}


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  ... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:_SHOWN]), *more]
