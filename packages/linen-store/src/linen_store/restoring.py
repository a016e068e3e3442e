"""Loading a model's variables from a store: what a call uses, and all that does not fit at once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from linen_core import MemoryStore, VariableStore
from linen_store._fit import Call, Names, Row, Stored, index_store, match, mismatches
from linen_store._progress import Progress, batches, reporting
from linen_store._specs import (
    array_spec,
    flatten_names,
    floating_dtype,
    key_name,
    nbytes,
    render_spec,
)
from linen_store._texts import counted
from linen_store._tree import Root
from linen_store.errors import RestoreMismatchError, RngsMissingError
from linen_store.lazy_store import LazyStore
from linen_store.opening import open_store
from linen_store.placement import Rules, mesh_sharding

__all__ = ["ModelSharding", "RestoreReport", "Restored", "restore"]

ModelSharding: TypeAlias = (
    jax.sharding.Sharding
    | Callable[[Names, jax.ShapeDtypeStruct], jax.sharding.Sharding | None]
    | Mapping[str, Any]
    | None
)
"""One sharding for all, a function of a variable's names and spec, or a tree like the variables."""

_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """What `restore` did. Variables are named by their collection and path.

    Example:
      >>> store = {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2), "old": jnp.ones(1)}}
      >>> report = restore(nn.Dense(2), store, jnp.ones((1, 3)), strict=False).report
      >>> report.loaded, report.unexpected
      ((('params', 'bias'), ('params', 'kernel')), (('params', 'old'),))
    """

    loaded: tuple[Names, ...]
    """Variables that came from the store."""

    initialized: tuple[Names, ...]
    """Variables that the store lacks and that were initialised instead."""

    unexpected: tuple[Names, ...]
    """What the store has in the model's collections and the model does not use."""

    other_dtype: tuple[tuple[Names, str, str], ...]
    """Variables of another width than the model would make: the stored dtype, and the model's."""

    bytes: int
    """Size of what was loaded, as it is stored."""

    def __str__(self) -> str:
        return "\n".join(
            [
                f"loaded {counted(len(self.loaded), 'variable')}, {counted(self.bytes, 'byte')}",
                *_listed("initialized", ["/".join(name) for name in self.initialized]),
                *_listed("unexpected", ["/".join(name) for name in self.unexpected]),
                *_listed(
                    "other dtype",
                    [
                        f"{'/'.join(name)}: {has}, not {made}"
                        for name, has, made in self.other_dtype
                    ],
                ),
            ]
        )


class Restored(NamedTuple):
    """What `restore` returns.

    Example:
      >>> store = {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
      >>> restored = restore(nn.Dense(2), store, jnp.ones((1, 3)))
      >>> nn.Dense(2).apply(restored.variables, jnp.ones((1, 3)))
      Array([[4., 4.]], dtype=float32)
    """

    variables: dict[str, Any]
    """The variables, in the structure that ``model.init`` gives."""

    report: RestoreReport
    """Where they came from."""


class _Options(NamedTuple):
    rngs: Any
    rename: Mapping[str, str | None]
    init_missing: bool
    strict: bool
    dtype: Any
    sharding: ModelSharding
    mesh: jax.sharding.Mesh | None
    rules: Rules | None
    progress: Progress


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
    mesh: jax.sharding.Mesh | None = None,
    rules: Rules | None = None,
    progress: Progress = False,
    **kwargs: Any,
) -> Restored:
    """Load the variables that a call of a model uses.

    The model is traced abstractly to learn its variables; nothing is computed. All that is wrong
    with the store is told in one error, before a value is read; then the values are read, in one
    batch for each collection. Values keep the dtype that they are stored in.

    Args:
      model: the module.
      store: a store, a mapping of variables, or the path of a checkpoint.
      *args: what the model is called with; `jax.ShapeDtypeStruct` will do for arrays.
      method: which method is called, ``__call__`` by default.
      rngs: a key, or keys by stream, for ``init_missing``.
      rename: regular expressions and what replaces them, in the order given, in the name of each
        stored array, written ``collection/module/name``. None instead of a replacement leaves out
        what matches.
      init_missing: whether to initialise what the store lacks, instead of failing.
      strict: whether what the model does not use, in the collections that it uses, is an error.
      root: which part of a checkpoint holds the collections, where ``store`` is a path (see
        `CheckpointStore`).
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where variables are put.
      mesh: instead of ``sharding``, the mesh that the axes named in the variables' boxes belong to;
        variables without a box are put whole on each of its devices.
      rules: which mesh axes the names in the boxes stand for; without, they are mesh axes.
      progress: whether to show a progress bar, where rich is installed; or a function that is
        called with the bytes that were read so far and those in all.
      **kwargs: keyword arguments of the call.

    Returns:
      The variables, ready for ``model.apply``, and a report.

    Raises:
      RestoreMismatchError: variables are missing, unexpected, or of another shape or kind.
      RngsMissingError: something must be initialised, and no ``rngs`` were given.
      RenameCollisionError: two stored arrays get the same name.
      RenamePatternError: a pattern of ``rename`` is no regular expression.
      UnevenShardingError: an axis cannot be split over the mesh.
      StoreDtypeError: ``dtype`` is no floating-point dtype.
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
    call = Call(model, args, kwargs if method is None else {**kwargs, "method": method})
    options = _Options(
        rngs,
        rename or {},
        init_missing,
        strict,
        floating_dtype(dtype),
        sharding,
        mesh,
        rules,
        progress,
    )
    with contextlib.ExitStack() as stack:
        if isinstance(store, str | os.PathLike):
            opened: VariableStore = stack.enter_context(open_store(store, root))
        else:
            opened = store if isinstance(store, VariableStore) else MemoryStore(store)
        return _restore(call, opened, options)


def _restore(call: Call, store: VariableStore, options: _Options) -> Restored:
    expected = call.expected(options.rngs)
    if options.mesh is not None:
        sharding: Any = mesh_sharding(expected, options.mesh, options.rules)
        options = options._replace(sharding=sharding)
    names, wanted, structure = flatten_names(expected)
    stored = index_store(store, options.rename)
    rows = [Row(name, spec, match(name, stored)) for name, spec in zip(names, wanted, strict=True)]
    used = {row.stored.names for row in rows if row.stored is not None}
    unused = {name: one for name, one in stored.items() if one.names not in used}
    problems = mismatches(rows, unused, init_missing=options.init_missing)
    if not problems:
        found = [row.wanted if row.stored is None else row.stored.spec for row in rows]
        tree = jax.tree_util.tree_unflatten(structure, found)
        for name in sorted(call.also_reads(tree, unused, options.rngs)):
            one = unused.pop(name)
            rows.append(Row(name, one.spec, one))
    # Other collections are none of the model's business: the state of an optimiser, say.
    collections = {row.names[0] for row in rows}
    unused = {name: one for name, one in unused.items() if name[0] in collections}
    if options.strict:
        problems += [
            f"{'/'.join(name)}: unexpected {render_spec(one.spec)}, the model does not use it"
            for name, one in unused.items()
        ]
    if problems:
        raise RestoreMismatchError(call.name, repr(store), problems)
    report = _report(rows, unused)
    values = _values(call, store, rows, report, options)
    variables = jax.tree_util.tree_unflatten(structure, values[: len(names)])
    for row, value in zip(rows[len(names) :], values[len(names) :], strict=True):
        _insert(variables, row.names, value)
    return Restored(variables, report)


def _insert(variables: dict[str, Any], names: Names, value: Any) -> None:
    node = variables
    for name in names[:-1]:
        node = node.setdefault(name, {})
    node[names[-1]] = value


def _report(rows: Sequence[Row], unused: Mapping[Names, Stored]) -> RestoreReport:
    pairs = [(row, row.stored.spec) for row in rows if row.stored is not None]
    return RestoreReport(
        loaded=tuple(row.names for row, _ in pairs),
        initialized=tuple(row.names for row in rows if row.stored is None),
        unexpected=tuple(one.names for one in unused.values()),
        other_dtype=tuple(
            (row.names, str(spec.dtype), str(row.wanted.dtype))
            for row, spec in pairs
            if spec.dtype != row.wanted.dtype
        ),
        bytes=sum(nbytes(spec) for _, spec in pairs),
    )


def _values(
    call: Call, store: VariableStore, rows: Sequence[Row], report: RestoreReport, options: _Options
) -> list[Any]:
    if report.initialized and options.rngs is None:
        raise RngsMissingError(call.name, report.initialized)
    loaded = _read(store, rows, options)
    fresh = _initialize(call, set(report.initialized), options) if report.initialized else {}
    return [fresh[row.names] if row.stored is None else loaded[row.stored.names] for row in rows]


def _read(store: VariableStore, rows: Sequence[Row], options: _Options) -> dict[Names, Any]:
    """Read each collection in one batch, or with a progress bar in several."""
    variables = {row.stored.names: row.names for row in rows if row.stored is not None}
    wanted: dict[tuple[str, Names], int] = {}
    for row in rows:
        if row.stored is not None:
            address = (row.stored.collection, row.stored.path)
            wanted[address] = wanted.get(address, 0) + nbytes(row.stored.spec)
    values: dict[Names, Any] = {}
    read = _read_placed if isinstance(store, LazyStore) else _read_and_place
    with reporting(options.progress, sum(wanted.values())) as report:
        for collection, paths, size in batches(wanted, in_parts=report is not None):
            found = read(store, collection, paths, variables, options)
            for path, value in zip(paths, found, strict=True):
                inner, leaves, _ = flatten_names(value)
                for more, leaf in zip(inner, leaves, strict=True):
                    values[collection, *path, *more] = leaf
            if report is not None:
                report(size)
    return values


def _read_placed(
    store: Any,
    collection: str,
    paths: list[Names],
    variables: Mapping[Names, Names],
    options: _Options,
) -> list[Any]:
    """Let the store put each array where it belongs while it reads."""
    variable = {
        in_file: variables.get((collection, *path, *more))
        for path in paths
        for in_file, more in zip(
            store.leaf_names(collection, path),
            flatten_names(store.spec(collection, path))[0],
            strict=True,
        )
    }

    def where(in_file: Names, spec: jax.ShapeDtypeStruct) -> jax.sharding.Sharding | None:
        name = variable.get(in_file)
        return None if name is None else _sharding_of(name, spec, options.sharding)

    sharding = None if options.sharding is None else where
    placed: list[Any] = store.read_placed(collection, paths, dtype=options.dtype, sharding=sharding)
    return placed


def _read_and_place(
    store: VariableStore,
    collection: str,
    paths: list[Names],
    variables: Mapping[Names, Names],
    options: _Options,
) -> list[Any]:
    values = store.read(collection, paths)
    return [
        jax.tree_util.tree_map_with_path(
            lambda keys, leaf, path=path: _placed(
                leaf, variables.get((collection, *path, *map(key_name, keys))), options
            ),
            value,
        )
        for path, value in zip(paths, values, strict=True)
    ]


def _placed(leaf: Any, name: Names | None, options: _Options) -> Any:
    if name is None or not hasattr(leaf, "dtype"):
        return leaf
    if options.dtype is not None and jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = leaf.astype(options.dtype)
    where = _sharding_of(name, array_spec(leaf.shape, leaf.dtype), options.sharding)
    return leaf if where is None else jax.device_put(leaf, where)


def _sharding_of(name: Names, spec: Any, sharding: ModelSharding) -> jax.sharding.Sharding | None:
    if not isinstance(sharding, Mapping):
        return sharding(name, spec) if callable(sharding) else sharding
    node: Any = sharding
    for part in name:
        # A tree of shardings may stand for boxed variables and have no boxes itself.
        if isinstance(node, jax.sharding.Sharding):
            break
        node = node.get(part) if isinstance(node, Mapping) else getattr(node, part, None)
    return node if isinstance(node, jax.sharding.Sharding) else None


def _initialize(call: Call, missing: set[Names], options: _Options) -> dict[Names, Any]:
    """Initialise the variables that the store lacks; the compiler drops the work for the others."""

    def make(keys: Any, arrays: Sequence[Any]) -> dict[Names, Any]:
        names, made, _ = flatten_names(call.init(keys, arrays))
        return {name: leaf for name, leaf in zip(names, made, strict=True) if name in missing}

    fresh = jax.jit(make)(options.rngs, call.concrete())
    return {name: _placed(leaf, name, options) for name, leaf in fresh.items()}


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  ... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:_SHOWN]), *more]
