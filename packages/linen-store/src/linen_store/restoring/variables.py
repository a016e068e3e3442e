"""Loading a model's variables from a store: what a call uses, and all that does not fit at once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

import linen_core as nn
from linen_core import VariableStore
from linen_store._texts import counted
from linen_store.errors import RestoreMismatchError, RestoreTargetError
from linen_store.formats.flat_names import KeyMap, Layout
from linen_store.formats.opening import OpenOptions, opened_store
from linen_store.formats.orbax.checkpoint_store import Verify
from linen_store.reading.progress import Progress
from linen_store.reading.specs import (
    flatten_names,
    floating_dtype,
    is_array_spec,
    nbytes,
    render_spec,
)
from linen_store.reading.tree import Root
from linen_store.restoring.loading import ModelSharding, Reading, placed, read_rows
from linen_store.restoring.matching import Call, Names, Row, Stored, index_store, match, mismatches
from linen_store.restoring.placement import Rules, mesh_sharding
from linen_store.restoring.target import Target

__all__ = ["ModelSharding", "RestoreReport", "Restored", "restore"]

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
    """Variables that the store lacks and that were initialised instead, or kept as they were."""

    unexpected: tuple[Names, ...]
    """Stored arrays that are not used, in the model's collections, or anywhere for a pytree."""

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

    variables: Any
    """The variables, in the structure that ``model.init`` gives; or the pytree with stored values."""

    report: RestoreReport
    """Where they came from."""


class _Options(NamedTuple):
    rngs: Any
    rename: Mapping[str, str | None]
    init_missing: bool
    strict: bool
    reading: Reading
    mesh: jax.sharding.Mesh | None
    rules: Rules | None


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
    item: str | None = None,
    step: int | None = None,
    key_map: KeyMap = None,
    layout: Layout = None,
    verify: Verify = True,
    unbox: bool = False,
    cache_bytes: int = 1 << 30,
    dtype: Any = None,
    sharding: ModelSharding = None,
    mesh: jax.sharding.Mesh | None = None,
    rules: Rules | None = None,
    progress: Progress = False,
    call_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Restored:
    """Load the variables that a call of a model uses, or the leaves of a pytree.

    A model is traced abstractly to learn its variables; nothing is computed. Of a pytree, a train
    state for example, each leaf is looked up by the names that lead to it. All that is wrong with
    the store is told in one error, before a value is read; then the values are read, in one batch
    for each collection. Values keep the dtype that they are stored in.

    Args:
      model: the module; or a pytree of arrays, `jax.ShapeDtypeStruct`, numbers and strings, of the
        structure that was saved.
      store: a store, a mapping of variables, or the path of a checkpoint.
      *args: what the model is called with; `jax.ShapeDtypeStruct` will do for arrays.
      method: which method is called, ``__call__`` by default.
      rngs: a key, or keys by stream, for ``init_missing``.
      rename: regular expressions and what replaces them, in the order given, in the name of each
        stored array, written ``collection/module/name``. None instead of a replacement leaves out
        what matches.
      init_missing: whether to initialise what the store lacks, instead of failing; a pytree keeps
        its own values.
      strict: whether what the model does not use, in the collections that it uses, is an error; and
        anything that a pytree does not have.
      root: which part of a checkpoint holds the collections (see `CheckpointStore`). This and the
        arguments down to ``cache_bytes`` are those of `open_store`, for a ``store`` that is a path.
      item: which item of a checkpoint, or which file of a folder, where there are several.
      step: which step of a folder of checkpoints; the newest finished one by default.
      key_map: from flat names to those of variables (see `SafetensorsStore`).
      layout: ``"model"`` where the arrays of a PyTorch file have the layout of the model.
      verify: how checksums are checked (see `CheckpointStore`).
      unbox: whether boxes are taken off (see `CheckpointStore`); a model finds its own without.
      cache_bytes: the most memory that the cache holds on to.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: where variables are put; where those of a pytree were put by default.
      mesh: instead of ``sharding``, the mesh that the axes named in the variables' boxes belong to;
        variables without a box are put whole on each of its devices.
      rules: which mesh axes the names in the boxes stand for; without, they are mesh axes.
      progress: whether to show a progress bar, where rich is installed; or a function that is
        called with the bytes that were read so far and those in all.
      call_kwargs: keyword arguments of the call that have the name of an argument above, ``step``
        for example.
      **kwargs: keyword arguments of the call.

    Returns:
      The variables, ready for ``model.apply``, or the pytree; and a report.

    Raises:
      RestoreMismatchError: variables are missing, unexpected, or of another shape or kind.
      RestoreTargetError: ``model`` is neither a model nor a pytree of arrays, or a pytree is called.
      RngsMissingError: something must be initialised, and no ``rngs`` were given.
      RenameCollisionError: two stored arrays get the same name.
      RenamePatternError: a pattern of ``rename`` is no regular expression.
      PatternUnmatchedError: a pattern of ``rename`` matches no stored array.
      StoreOptionsError: an argument of `open_store` is given, and ``store`` is no path.
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
    given: OpenOptions = {
        "root": root,
        "item": item,
        "step": step,
        "key_map": key_map,
        "layout": layout,
        "verify": verify,
        "unbox": unbox,
        "cache_bytes": cache_bytes,
    }
    inputs = {**kwargs, **(call_kwargs or {})}
    wanted = _wanted(model, args, inputs if method is None else {**inputs, "method": method})
    reading = Reading(floating_dtype(dtype), sharding, progress)
    options = _Options(rngs, rename or {}, init_missing, strict, reading, mesh, rules)
    with opened_store(store, given) as opened:
        return _restore(wanted, opened, options)


def _wanted(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | Target:
    """Distinguish a call of a model from a pytree: to JAX, a model is a single leaf."""
    if isinstance(model, type):
        raise RestoreTargetError(model.__name__, "it is the class itself, not an instance")
    is_leaf = jax.tree_util.all_leaves([model])
    if isinstance(model, nn.Module) or (is_leaf and callable(getattr(model, "init", None))):
        return Call(model, args, kwargs)
    if args or kwargs:
        raise RestoreTargetError(type(model).__name__, "it is not a model, so it cannot be called")
    return Target(model)


def _restore(call: Call | Target, store: VariableStore, options: _Options) -> Restored:
    expected = call.expected(options.rngs)
    reading = options.reading
    if options.mesh is not None:
        reading = reading._replace(sharding=mesh_sharding(expected, options.mesh, options.rules))
    elif reading.sharding is None and isinstance(call, Target):
        reading = reading._replace(sharding=call.sharding)
    names, wanted, structure = flatten_names(expected)
    stored = index_store(store, options.rename)
    rows = [Row(name, spec, match(name, stored)) for name, spec in zip(names, wanted, strict=True)]
    used = {row.stored.names for row in rows if row.stored is not None}
    unused = {name: one for name, one in stored.items() if one.names not in used}
    missing = [row for row in rows if row.stored is None]
    if options.init_missing:
        missing = [row for row in missing if not call.can_initialize(row.names)]
    problems = mismatches(rows, unused, missing, call.noun)
    if not problems:
        found = [row.wanted if row.stored is None else row.stored.spec for row in rows]
        tree = jax.tree_util.tree_unflatten(structure, found)
        for name in sorted(call.also_reads(tree, unused, options.rngs)):
            one = unused.pop(name)
            rows.append(Row(name, one.spec, one))
    if not call.wants_all:
        collections = {row.names[0] for row in rows}
        unused = {name: one for name, one in unused.items() if name[0] in collections}
    if options.strict:
        problems += [
            f"{'/'.join(name)}: unexpected {render_spec(one.spec)}, {call.noun} does not use it"
            for name, one in unused.items()
        ]
    if problems:
        raise RestoreMismatchError(call.name, repr(store), problems)
    report = _report(rows, unused)
    values = _values(call, store, rows, report, options.rngs, reading)
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
            if is_array_spec(row.wanted) and spec.dtype != row.wanted.dtype
        ),
        bytes=sum(nbytes(spec) for _, spec in pairs),
    )


def _values(
    call: Call | Target,
    store: VariableStore,
    rows: Sequence[Row],
    report: RestoreReport,
    rngs: Any,
    reading: Reading,
) -> list[Any]:
    # What cannot be initialised is told before anything is read.
    fresh = call.initialized(report.initialized, rngs) if report.initialized else {}
    fresh = {name: placed(leaf, name, reading) for name, leaf in fresh.items()}
    loaded = read_rows(store, rows, reading)
    return [
        fresh[row.names]
        if row.stored is None
        else call.finished(row.names, loaded[row.stored.names])
        for row in rows
    ]


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  ... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:_SHOWN]), *more]
