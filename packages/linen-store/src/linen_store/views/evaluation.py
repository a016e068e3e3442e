"""Evaluation of the leaves of views: their sources are read in batches, computed, and put on devices."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from linen_store.reading.file_store import ReadsPlaced
from linen_store.reading.specs import array_spec, is_array_spec, key_name, nbytes
from linen_store.reading.stored import Names
from linen_store.views.entry import Entry, Source
from linen_store.views.operations import (
    Concatenate,
    Operation,
    Pipeline,
    Reshape,
    Same,
    Slice,
    Stack,
    Take,
    Transpose,
)

__all__ = ["evaluate"]

_SMALL_BYTES = 1 << 18
"""The size of an array up to which it is read whole, even if devices of this process need a part of it."""
_JOINED_BYTES = 1 << 26
"""The size of a stack from which on its layers are read one after the other."""


def evaluate(
    entries: Sequence[Entry], specs: Sequence[Any], places: Sequence[Any], dtype: Any
) -> list[Any]:
    """Return the values of leaves.

    Args:
      entries: the leaves.
      specs: the spec of each, with the dtype that it gets.
      places: where each is put: a sharding; for a pytree a function from names and a spec to one; None for anywhere.
      dtype: a floating-point dtype that every floating-point array is cast to; None for none.
    """
    numbers = [n for n, entry in enumerate(entries) if not _is_large_stack(entry, specs[n])]
    few = [entries[n] for n in numbers]
    values = _read_sources(few, [places[n] for n in numbers])
    computed = [_computed(entry, values) for entry in few]
    results = dict(
        zip(numbers, _put_on_devices(computed, [places[n] for n in numbers], dtype), strict=True)
    )
    return [
        results[n] if n in results else _join_stack(entry, specs[n], places[n])
        for n, entry in enumerate(entries)
    ]


def _read_sources(entries: Sequence[Entry], where: Sequence[Any]) -> dict[Source, Any]:
    """Read the sources of entries, each once, in one batch for each collection of a store."""
    places: dict[Source, Any] = {}
    for entry, place in zip(entries, where, strict=True):
        for source in entry.sources:
            found = _source_place(entry.operation, source, place)
            # An array that two entries need in different places is read whole.
            places[source] = found if places.setdefault(source, found) == found else None
    batches: dict[tuple[int, str], list[Source]] = {}
    for source in places:
        batches.setdefault((id(source.store), source.collection), []).append(source)
    values: dict[Source, Any] = {}
    for batch in batches.values():
        values.update(zip(batch, _read_batch(batch, places), strict=True))
    return values


def _computed(entry: Entry, values: Mapping[Source, Any]) -> Any:
    """Compute a leaf."""
    found = [values[source] for source in entry.sources]
    is_compiled = any(isinstance(value, jax.Array) for value in found)
    if is_compiled and isinstance(entry.operation, _MOVES):
        return _move(entry.operation, found)
    return entry.operation.compute(found)


_MOVES = (Concatenate, Pipeline, Reshape, Slice, Stack, Take, Transpose)
"""Operations that move values, and compute none: compiled or not, they have the same bits."""


@functools.partial(
    jax.jit, static_argnums=0
)  # a call takes a fraction of the time of operations one by one
def _move(operation: Operation, values: list[Any]) -> Any:
    return operation.compute(values)


def _put_on_devices(leaves: Sequence[Any], places: Sequence[Any], dtype: Any) -> list[Any]:
    """Cast leaves and put them on devices, all in one call."""
    found, structure = jax.tree_util.tree_flatten_with_path(list(leaves))
    arrays: list[Any] = []
    moved: dict[int, Any] = {}
    for index, ((number, *keys), value) in enumerate(found):
        arrays.append(value)
        if not hasattr(value, "dtype"):
            continue
        if dtype is not None and jnp.issubdtype(value.dtype, jnp.floating):
            arrays[index] = value.astype(dtype)
        place = places[number.idx]
        if callable(place):
            spec = array_spec(value.shape, arrays[index].dtype)
            place = place(tuple(map(key_name, keys)), spec)
        if place is not None:
            moved[index] = place
    put = jax.device_put([arrays[index] for index in moved], list(moved.values()))
    for index, array in zip(moved, put, strict=True):
        arrays[index] = array
    return list(jax.tree.unflatten(structure, arrays))


def _is_large_stack(entry: Entry, spec: Any) -> bool:
    """Return whether an entry is a stack that must not be in memory twice, once in layers and once as a whole."""
    operation = entry.operation
    is_stack = (
        isinstance(operation, Pipeline)
        and isinstance(operation.combine, Stack)
        and not operation.after
    )
    return (is_stack or isinstance(operation, Stack)) and nbytes(spec) >= _JOINED_BYTES


def _join_stack(entry: Entry, spec: Any, place: Any) -> Any:
    """Read the layers of a stack one after the other into the result."""
    operation = entry.operation
    pipeline = operation if isinstance(operation, Pipeline) else Pipeline((), operation)
    each = Pipeline(pipeline.before)
    axis = pipeline.combine.axis % len(spec.shape)  # type: ignore[attr-defined]
    result = jnp.zeros(spec.shape, spec.dtype, device=place)
    for number, source in enumerate(entry.sources):
        (layer,) = _read_batch([source], {source: _source_place(operation, source, place)})
        layer = jnp.asarray(each.compute([layer])).astype(spec.dtype)
        # Otherwise the next layers would be read before this one is released.
        result = jax.block_until_ready(_insert(result, layer, number, axis))
    return result


@functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
def _insert(whole: Any, layer: Any, number: int, axis: int) -> Any:
    return jax.lax.dynamic_update_index_in_dim(whole, layer, number, axis)


def _read_batch(batch: Sequence[Source], places: Mapping[Source, Any]) -> list[Any]:
    store, collection = batch[0].store, batch[0].collection
    paths = [source.path for source in batch]
    if not isinstance(store, ReadsPlaced) or all(places[source] is None for source in batch):
        return store.read(collection, paths)
    by_names = {(source.collection, *source.path): places[source] for source in batch}

    def where(names: Names, spec: Any) -> Any:
        if names in by_names:
            return by_names[names]
        # The array is inside a leaf that is a pytree.
        for depth in range(len(names) - 1, 0, -1):
            if place := by_names.get(names[:depth]):
                return place(names[depth:], spec)
        return None

    return store.read_placed(collection, paths, sharding=where)


def _source_place(operation: Operation, source: Source, place: Any) -> Any:
    """Return the sharding of a source that gives the result its sharding without a move; None if it is not known."""
    spec = source.spec
    is_small = (
        is_array_spec(spec) and not isinstance(operation, Same) and nbytes(spec) < _SMALL_BYTES
    )
    if place is None or is_small:
        return None
    if not isinstance(place, jax.sharding.NamedSharding) or not is_array_spec(spec):
        return place if isinstance(operation, Same) else None
    found = operation.source_spec(place.spec, len(spec.shape))
    return None if found is None else jax.sharding.NamedSharding(place.mesh, found)
