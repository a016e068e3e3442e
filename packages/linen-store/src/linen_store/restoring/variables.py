"""Loads the variables of a model, or the leaves of a pytree, and reports every mismatch in one error."""

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
from linen_store.formats.opening import opened_store
from linen_store.reading.options import CACHE_BYTES, KeyMap, Layout, OpenOptions, Root, Verify
from linen_store.reading.progress import Progress
from linen_store.reading.specs import (
    flatten_names,
    floating_dtype,
    is_array_spec,
    nbytes,
    render_spec,
)
from linen_store.reading.stored import Names, Stored
from linen_store.reading.tree import insert
from linen_store.restoring.call import Call
from linen_store.restoring.loading import Reading, placed_value, read_rows
from linen_store.restoring.matching import Row, index_store, match, mismatches
from linen_store.restoring.placement import ModelSharding, Rules, mesh_sharding
from linen_store.restoring.saved_sharding import or_saved_sharding
from linen_store.restoring.target import Target
from linen_store.views.maps import MapLike

__all__ = ["RestoreReport", "Restored", "restore"]

_LINES = 20


@dataclasses.dataclass(frozen=True)
class RestoreReport:
    """A report of `restore`. Variables are named by their collection and path.

    Example:
      >>> store = {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2), "old": jnp.ones(1)}}
      >>> report = restore(nn.Dense(2), store, jnp.ones((1, 3)), strict=False).report
      >>> report.loaded, report.unexpected
      ((('params', 'bias'), ('params', 'kernel')), (('params', 'old'),))
    """

    loaded: tuple[Names, ...]
    """Variables that came from the store."""

    initialized: tuple[Names, ...]
    """Variables that the store lacks: they were initialised, or kept their values."""

    unexpected: tuple[Names, ...]
    """Stored arrays that are not used: in the model's collections, or for a pytree in any."""

    other_dtype: tuple[tuple[Names, str, str], ...]
    """Variables of another width than the model's: the stored dtype, and the model's."""

    bytes: int
    """Size of the loaded variables, as they are stored."""

    def __str__(self) -> str:
        return "\n".join(
            [
                f"loaded {counted(len(self.loaded), 'variable')}, {counted(self.bytes, 'byte')}",
                *_listed("initialized", ["/".join(name) for name in self.initialized]),
                *_listed("unexpected", ["/".join(name) for name in self.unexpected]),
                *_listed(
                    "other dtype",
                    [
                        f"{'/'.join(name)}: {stored}, not {expected}"
                        for name, stored, expected in self.other_dtype
                    ],
                ),
            ]
        )


class Restored(NamedTuple):
    """The result of `restore`.

    Example:
      >>> store = {"params": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}}
      >>> restored = restore(nn.Dense(2), store, jnp.ones((1, 3)))
      >>> nn.Dense(2).apply(restored.variables, jnp.ones((1, 3)))
      Array([[4., 4.]], dtype=float32)
    """

    variables: Any
    """The variables, in the structure that ``model.init`` gives; or the pytree with stored values."""

    report: RestoreReport
    """Where each variable came from."""


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
    step: float | None = None,
    key_map: KeyMap = None,
    layout: Layout = None,
    verify: Verify = True,
    unbox: bool = False,
    cache_bytes: int = CACHE_BYTES,
    map: MapLike = None,  # noqa: A002 - users write restore(model, path, x, map=...)
    dtype: Any = None,
    sharding: ModelSharding = None,
    mesh: jax.sharding.Mesh | None = None,
    rules: Rules | None = None,
    progress: Progress = False,
    call_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Restored:
    """Load the variables that a call of a model uses, or the leaves of a pytree.

    A model is traced abstractly to find its variables; nothing is computed. Each leaf of a pytree, such as a train
    state, is matched by the names that lead to it. Every mismatch is reported in one error, before a value is read.
    Then the values are read, in one batch for each collection. They keep the dtype that they are stored in.

    Args:
      model: the module; or a pytree of arrays, `jax.ShapeDtypeStruct`, numbers and strings, of the structure that was
        saved.
      store: a store, a mapping of variables, or the path of a checkpoint.
      *args: the arguments of the call; `jax.ShapeDtypeStruct` can replace arrays.
      method: the method to call, ``__call__`` by default.
      rngs: a key, or keys by stream, for ``init_missing``.
      rename: regular expressions and their replacements, applied in order to the name of each stored array, written
        ``collection/module/name``. A replacement of None leaves out the arrays that match.
      init_missing: initialise the variables that the store lacks, instead of failing; a pytree keeps its own values.
      strict: raise for arrays that the model does not use, in the collections that it uses, and for arrays that are
        not leaves of the pytree.
      root: the part of a checkpoint that holds the collections (see `CheckpointStore`). This and the arguments down to
        ``cache_bytes`` are those of `open_store`, for a ``store`` that is a path.
      item: the item of a checkpoint, or the file of a folder, if there are several.
      step: the step of a folder of checkpoints; the newest finished one by default.
      key_map: from flat names to those of variables (see `open_store`).
      layout: ``"model"`` if the arrays of a PyTorch file have the layout of the model.
      verify: how checksums are checked (see `CheckpointStore`).
      unbox: take variables out of their boxes (see `CheckpointStore`); not needed for the boxes of the model.
      cache_bytes: the most memory that the cache holds.
      map: a `linen_store.views.Map`, or the path of its TOML file, from the names and shapes of the checkpoint, or of
        the store, to those of the model.
      dtype: a floating-point dtype that every floating-point array is cast to.
      sharding: the devices of the variables; by default, those of the arrays of the pytree. Without any, inside
        `jax.set_mesh`, an array that was saved with a sharding by axis names gets the same one on that mesh.
      mesh: instead of ``sharding``, the mesh of the axes that are named in the variables' boxes. Variables without a
        box are put whole on each of its devices.
      rules: the mesh axes of the names in the boxes; by default, the names are mesh axes.
      progress: True for a progress bar, which needs rich; or a function of the bytes read so far and the bytes in all.
      call_kwargs: keyword arguments of the call that have the name of an argument above, ``step`` for example.
      **kwargs: keyword arguments of the call.

    Returns:
      The variables, ready for ``model.apply``, or the pytree; and a report.

    Raises:
      MapError: the map does not suit the checkpoint.
      RestoreMismatchError: variables are missing, unexpected, or of another shape or kind.
      RestoreTargetError: ``model`` is neither a model nor a pytree of arrays, or a pytree is called.
      RngsMissingError: variables must be initialised, and ``rngs`` is None.
      RenameCollisionError: two stored arrays get the same name.
      RenamePatternError: a pattern of ``rename`` is not a regular expression.
      PatternUnmatchedError: a pattern of ``rename`` does not match any stored array.
      StoreOptionsError: an argument of `open_store` is given, and ``store`` is not a path.
      UnevenShardingError: an axis cannot be split over the mesh.
      StoreDtypeError: ``dtype`` is not a floating-point dtype.
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
        "map": map,
    }
    inputs = {**kwargs, **(call_kwargs or {})}
    expected = _expected(model, args, inputs if method is None else {**inputs, "method": method})
    reading = Reading(floating_dtype(dtype), sharding, progress)
    options = _Options(rngs, rename or {}, init_missing, strict, reading, mesh, rules)
    with opened_store(store, given) as opened:
        return _restore(expected, opened, options)


def _expected(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call | Target:
    """Return a call of a model, or a pytree; to JAX, a model is a single leaf."""
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
    if not call.uses_whole_store:
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
    if options.mesh is None and options.reading.sharding is None:
        reading = reading._replace(sharding=or_saved_sharding(reading.sharding, store, rows))
    values = _load_rows(call, store, rows, report, options.rngs, reading)
    variables = jax.tree_util.tree_unflatten(structure, values[: len(names)])
    for row, value in zip(rows[len(names) :], values[len(names) :], strict=True):
        insert(variables, row.names, value)
    return Restored(variables, report)


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


def _load_rows(
    call: Call | Target,
    store: VariableStore,
    rows: Sequence[Row],
    report: RestoreReport,
    rngs: Any,
    reading: Reading,
) -> list[Any]:
    # Initialise first: an error should come before the long read.
    fresh = call.initialized(report.initialized, rngs) if report.initialized else {}
    fresh = {name: placed_value(leaf, name, reading) for name, leaf in fresh.items()}
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
    more = [f"  ... and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
    return [f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:_LINES]), *more]
