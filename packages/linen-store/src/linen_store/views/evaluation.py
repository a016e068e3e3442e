"""Evaluation of the leaves of views: their sources are read in batches, computed, and put on devices."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from linen_store.reading.device import ForDevice, put_at_once
from linen_store.reading.file_store import FileStore, ReadsPlaced
from linen_store.reading.specs import array_spec, is_array_spec, is_key, key_name, nbytes
from linen_store.reading.stored import Names
from linen_store.views.entry import Entry, Source
from linen_store.views.operations import Compute, Operation, Same, Stack
from linen_store.views.pipelines import Pipeline, chain, steps_of

__all__ = ["evaluate"]

_SMALL_BYTES = 1 << 18
"""The size of an array up to which it is read whole, even if devices of this process need a part of it."""
_LAYERED_BYTES = 1 << 24
"""The size of a stack from which on its layers are read one after the other."""


def evaluate(
    entries: Sequence[Entry], specs: Sequence[Any], places: Sequence[Any], dtype: Any
) -> list[Any]:
    """Return the values of leaves.

    Leaves that are computed are so in groups: otherwise all sources would be in memory beside all results.

    Args:
      entries: the leaves.
      specs: the spec of each, with the dtype that it gets.
      places: where each is put: a sharding; for a pytree a function from names and a spec to one; None for anywhere.
      dtype: a floating-point dtype that every floating-point array is cast to; None for none.
    """
    results: list[Any] = [None] * len(entries)
    others = []
    for number, entry in enumerate(entries):
        layers = _layers_of(entry) if nbytes(specs[number]) >= _LAYERED_BYTES else None
        if layers is None:
            others.append(number)
        else:
            results[number] = _read_layers(layers, specs[number], places[number])
    for numbers in _in_groups(entries, others):
        found = _group_values([entries[n] for n in numbers], [places[n] for n in numbers], dtype)
        for number, value in zip(numbers, found, strict=True):
            results[number] = value
    return results


def _group_values(entries: Sequence[Entry], places: Sequence[Any], dtype: Any) -> list[Any]:
    values = _read_sources(entries, places, dtype)
    computed = [_computed(entry, values) for entry in entries]
    computed = [
        one.buffer if isinstance(one, ForDevice) and place is not None else one
        for one, place in zip(computed, places, strict=True)
    ]
    return _put_on_devices(put_at_once(computed), places, dtype)


def _in_groups(entries: Sequence[Entry], numbers: Sequence[int]) -> list[list[int]]:
    """Group leaves whose sources have about `_LAYERED_BYTES`; the first group has those that are not computed."""
    groups: list[list[int]] = [[], []]
    owners: dict[Source, list[int]] = {}
    size = 0
    for number in numbers:
        entry = entries[number]
        if type(entry.operation) is Same:
            groups[0].append(number)
            continue
        # A source of several leaves is read once.
        group = next((owners[one] for one in entry.sources if one in owners), None)
        if group is None:
            if size >= _LAYERED_BYTES:
                groups.append([])
                size = 0
            group = groups[-1]
        group.append(number)
        for source in entry.sources:
            if source not in owners:
                owners[source] = group
                size += nbytes(source.spec)
    return [group for group in groups if group]


class _Read(NamedTuple):
    """How a source is read."""

    place: Any
    dtype: Any
    is_host: bool


def _read_sources(entries: Sequence[Entry], places: Sequence[Any], dtype: Any) -> dict[Source, Any]:
    """Read the sources of entries, each once, in one batch for each way and each collection of a store."""
    reads: dict[Source, _Read] = {}
    for entry, place in zip(entries, places, strict=True):
        for source in entry.sources:
            found = _read_for(entry.operation, source, place, dtype)
            # An array that two entries need in different places is read whole.
            reads[source] = found if reads.setdefault(source, found) == found else _READ
    batches: dict[Any, list[Source]] = {}
    for source, (_, read_dtype, is_host) in reads.items():
        key = (id(source.store), source.collection, read_dtype, is_host)
        batches.setdefault(key, []).append(source)
    values: dict[Source, Any] = {}
    for batch in batches.values():
        values.update(zip(batch, _read_batch(batch, reads), strict=True))
    return values


_READ = _Read(None, None, False)


def _read_for(operation: Operation, source: Source, place: Any, dtype: Any) -> _Read:
    """Return how a source is read. Small arrays are moved in host memory, where that takes less time."""
    spec = source.spec
    read_dtype = dtype if operation.moves else None
    if type(operation) is Same or not is_array_spec(spec) or nbytes(spec) >= _SMALL_BYTES:
        return _Read(_source_place(operation, source, place), read_dtype, False)
    is_free = place is not None or spec.sharding is None
    is_host = (
        operation.moves and is_free and isinstance(source.store, FileStore) and not is_key(spec)
    )
    return _Read(None, read_dtype, is_host)


def _computed(entry: Entry, values: Mapping[Source, Any]) -> Any:
    found = [values[source] for source in entry.sources]
    if all(isinstance(value, ForDevice) for value in found):
        return ForDevice(entry.operation.compute([value.buffer for value in found]))
    found = put_at_once(found)
    is_compiled = any(isinstance(value, jax.Array) for value in found)
    if is_compiled and (entry.operation.moves or isinstance(entry.operation, Pipeline)):
        return _compiled(entry.operation, found)
    return entry.operation.compute(found)


@functools.partial(jax.jit, static_argnums=0)  # takes a fraction of the time of single operations
def _compiled(operation: Operation, values: list[Any]) -> Any:
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
        if dtype not in (None, value.dtype) and jnp.issubdtype(value.dtype, jnp.floating):
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


class _Layers(NamedTuple):
    """A stack as its layers, and what happens to each of them."""

    sources: tuple[Source, ...]
    each: tuple[Operation, ...]
    axis: int


def _layers_of(entry: Entry) -> _Layers | None:
    """Return the layers of a stack, with the operations on the stack done to each layer.

    Returns:
      None if the leaf is not a stack, or an operation needs the whole stack.
    """
    steps = list(steps_of(entry.operation))
    while not any(isinstance(one, Stack) for one in steps):
        if len(entry.sources) != 1 or entry.sources[0].entry is None:
            return None
        entry = entry.sources[0].entry
        steps = [*steps_of(entry.operation), *steps]
    start = next(number for number, one in enumerate(steps) if isinstance(one, Stack))
    each = steps[:start]
    rank = len(chain(*each).spec([entry.sources[0].spec]).shape) + 1
    axis = steps[start].axis % rank  # type: ignore[attr-defined]
    for operation in steps[start + 1 :]:
        found = operation.in_layers(axis, rank)
        if found is None:
            return None
        each.append(found[0])
        axis = found[1]
    sources: Sequence[Source] = entry.sources
    while (below := _one_below(sources)) is not None:
        each = [*steps_of(below[0].operation), *each]
        sources = [one.sources[0] for one in below]
    return _Layers(tuple(sources), tuple(each), axis)


def _one_below(sources: Sequence[Source]) -> list[Entry] | None:
    """Return what the sources are, if all are the same operation on one array."""
    below = [source.entry for source in sources if source.entry is not None]
    is_same = len(below) == len(sources) and all(
        len(one.sources) == 1 and one.operation == below[0].operation for one in below
    )
    return below if is_same and not isinstance(below[0].operation, Compute) else None


def _read_layers(layers: _Layers, spec: Any, place: Any) -> Any:
    """Read the layers of a stack one after the other into the result."""
    each, stack = chain(*layers.each), chain(*layers.each, Stack(layers.axis))
    result: Any = None
    for number, source in enumerate(layers.sources):
        where = _source_place(stack, source, place)
        (layer,) = _read_batch([source], {source: _READ._replace(place=where)})
        if isinstance(layer, np.ndarray) and place is None:
            result = np.empty(spec.shape, spec.dtype) if result is None else result
            result[(slice(None),) * layers.axis + (number,)] = each.compute([layer])
            continue
        if result is None:
            result = jnp.zeros(spec.shape, spec.dtype, device=place)
        result = _insert(result, layer, number, each, layers.axis)
        # Otherwise this layer and the next ones would be in memory at the same time.
        del layer
        result.block_until_ready()
    return result


@functools.partial(jax.jit, donate_argnums=0, static_argnums=(3, 4))
def _insert(whole: Any, layer: Any, number: int, each: Operation, axis: int) -> Any:
    changed = each.compute([layer]).astype(whole.dtype)
    return jax.lax.dynamic_update_index_in_dim(whole, changed, number, axis)


def _read_batch(batch: Sequence[Source], reads: Mapping[Source, _Read]) -> list[Any]:
    store, collection = batch[0].store, batch[0].collection
    _, dtype, is_host = reads[batch[0]]
    paths = [source.path for source in batch]
    if is_host and isinstance(store, FileStore):
        return store.read_host(collection, paths, dtype)
    is_placed = dtype is not None or any(reads[source].place is not None for source in batch)
    if not isinstance(store, ReadsPlaced) or not is_placed:
        return store.read(collection, paths)
    by_names = {(source.collection, *source.path): source for source in batch}

    def where(names: Names, spec: Any) -> Any:
        if names in by_names:
            source = by_names[names]
            return reads[source].place or getattr(source.spec, "sharding", None)
        # The array is inside a leaf that is a pytree.
        for depth in range(len(names) - 1, 0, -1):
            if names[:depth] in by_names and (place := reads[by_names[names[:depth]]].place):
                return place(names[depth:], spec)
        return None

    return store.read_placed(collection, paths, dtype=dtype, sharding=where)


def _source_place(operation: Operation, source: Source, place: Any) -> Any:
    """Return the sharding of a source that gives the result its sharding without a move; None if it is not known."""
    spec = source.spec
    if not isinstance(place, jax.sharding.NamedSharding) or not is_array_spec(spec):
        return place if isinstance(operation, Same) else None
    found = operation.source_spec(place.spec, len(spec.shape))
    return None if found is None else jax.sharding.NamedSharding(place.mesh, found)
