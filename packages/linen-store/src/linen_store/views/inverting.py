"""Undoes views: from a store with the layout of a view to one with the layout of what the view was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from linen_core import VariableStore, as_store
from linen_store.errors import ViewError
from linen_store.reading.specs import is_array_spec, render_spec
from linen_store.reading.stored import Names, values_of
from linen_store.views.entry import Entry, Leaf, Source, StoreLike
from linen_store.views.operations import (
    Cast,
    Concatenate,
    Crop,
    Flatten,
    Operation,
    Pad,
    Reshape,
    Reshaping,
    Same,
    Slice,
    Stack,
    Take,
    Transpose,
    Unflatten,
)
from linen_store.views.view import View, find_entries, source_of

__all__ = ["inverse", "inverse_of"]


class _Piece(NamedTuple):
    """A leaf of the view that makes a source: by an operation, or as the indices from start to stop of a join."""

    leaf: Source
    operation: Operation
    start: int = 0
    stop: int | None = None


def inverse(view: View, store: StoreLike) -> View:
    r"""Undo a view: give a store with its layout the layout of the store that the view was made of.

    So what was trained in the layout of a view is saved in the layout of the original file. rename, move, mount,
    transpose, reshape, stack, unstack, concatenate, split, pad, and a cast to a dtype that holds every value have an
    inverse. Arrays that the view leaves out, and empty nodes, are not in the result. A map has an inverse of its own,
    `Map.inverse`.

    Args:
      view: the view.
      store: a store, or nested mappings, with the names and shapes of the view.

    Raises:
      ViewError: an operation has no inverse, a part is missing, or the store has other names or shapes.

    Example:
      >>> from linen_store import views
      >>> file = {"params": {"b_0": {"weight": np.ones((2, 3))}, "b_1": {"weight": np.ones((2, 3))}}}
      >>> view = views.stack(views.transpose(views.rename(file, {"weight": "kernel"}), "kernel"), r"b_(\d+)", "b")
      >>> view.spec("params", ("b", "kernel")).shape
      (2, 3, 2)
      >>> trained = {"params": {"b": {"kernel": np.zeros((2, 3, 2))}}}
      >>> inverse(view, trained).spec("params", ("b_1", "weight")).shape
      (2, 3)
    """
    given = as_store(store)
    found = find_entries(given)
    problems = list(_mismatches(view, given, found))
    entries = [] if problems else _sources_of(view, given, problems)
    title = f"inverse of {view!r}"
    if problems:
        raise ViewError(title, problems)
    return View(entries, title)


def _mismatches(view: View, given: VariableStore, found: Mapping[Names, Leaf]) -> Iterator[str]:
    for names, entry in values_of(view.tree):
        if not isinstance(entry, Entry):
            continue
        if names not in found:
            yield f"{'/'.join(names)}: it is missing"
            continue
        wanted, spec = (one.spec(names[0], names[1:]) for one in (view, given))
        shapes = [getattr(one, "shape", None) for one in (wanted, spec)]
        if shapes[0] != shapes[1]:
            yield f"{'/'.join(names)}: it is {render_spec(spec)}, expected {render_spec(wanted)}"


def _sources_of(view: View, given: VariableStore, problems: list[str]) -> list[tuple[Names, Leaf]]:
    """Return the entries of the store that a view was made of, as far as ``given`` has the leaves of the view."""
    found = find_entries(given)
    pieces: dict[Source, list[_Piece]] = {}
    results: list[tuple[Names, Leaf]] = []
    for names, entry in values_of(view.tree):
        mine = found.get(names)
        if isinstance(entry, Entry) and isinstance(mine, Entry):
            leaf = source_of(given, names, mine)
            try:
                for source, piece in _backward(entry, leaf):
                    pieces.setdefault(source, []).append(piece)
            except ValueError as error:
                problems.append(f"{'/'.join(names)}: {error}")
    stores: dict[int, tuple[VariableStore, list[tuple[Names, Leaf]]]] = {}
    for source, parts in pieces.items():
        names = (source.collection, *source.path)
        try:
            made = _remade(source, parts)
        except ValueError as error:
            problems.append(f"{'/'.join(names)}: {error}")
            continue
        stores.setdefault(id(source.store), (source.store, []))[1].append((names, made))
    for below, made_entries in stores.values():
        if isinstance(below, View):
            results += _sources_of(below, View(made_entries, "a part of an inverse"), problems)
        else:
            results += made_entries
    bases = [below for below, _ in stores.values() if not isinstance(below, View)]
    if len(bases) > 1:
        problems.append("the view is made of several stores")
    return results


def _backward(entry: Entry, leaf: Source) -> Iterator[tuple[Source, _Piece]]:
    """Yield the sources of an entry, and how a leaf in its place makes them."""
    operation, sources = entry.operation, entry.sources
    axis = getattr(operation, "axis", 0) % max(len(getattr(leaf.spec, "shape", ())), 1)
    if isinstance(operation, Stack):
        for index, source in enumerate(sources):
            yield source, _Piece(leaf, Take(axis, index))
    elif isinstance(operation, Concatenate):
        start = 0
        for source in sources:
            stop = start + source.spec.shape[axis]
            yield source, _Piece(leaf, Slice(axis, start, stop))
            start = stop
    elif isinstance(operation, Take):
        joining = Stack(operation.axis % len(sources[0].spec.shape))
        yield sources[0], _Piece(leaf, joining, operation.index, operation.index + 1)
    elif isinstance(operation, Slice):
        yield sources[0], _Piece(leaf, Concatenate(axis), operation.start, operation.stop)
    else:
        yield sources[0], _Piece(leaf, inverse_of(operation, sources[0].spec))


def inverse_of(operation: Operation, spec: Any = None) -> Operation:
    """Return the inverse of an operation on one array.

    Args:
      operation: the operation.
      spec: the array; None if it is not known, as for the rules of a map.

    Raises:
      ValueError: the operation does not have an inverse, or its inverse depends on the array.
    """
    if isinstance(operation, Same):
        return operation
    if isinstance(operation, Transpose):
        axes = operation.axes
        return Transpose(None if axes is None else tuple(np.argsort(axes).tolist()))
    if isinstance(operation, Unflatten):
        first, more = operation.axis, len(operation.sizes) - 1
        return Flatten(first, first + more) if first >= 0 else Flatten(first - more, first)
    if isinstance(operation, Pad):
        return Crop(operation.axis, operation.before, operation.after)
    if isinstance(operation, Reshaping) and spec is not None:
        return Reshape(tuple(spec.shape))
    if isinstance(operation, Cast) and spec is not None:
        if not is_array_spec(spec) or not jnp.issubdtype(spec.dtype, jnp.floating):
            return Same()
        if jnp.promote_types(spec.dtype, operation.dtype) == operation.dtype:
            return Cast(spec.dtype)
        msg = f"a cast from {spec.dtype} to {jnp.dtype(operation.dtype)} loses digits"
        raise ValueError(msg)
    name = type(operation).__name__.lower()
    msg = f"{name} has no inverse" if name != "pipeline" else "it is made by a map: use Map.inverse"
    raise ValueError(msg)


def _remade(source: Source, pieces: Sequence[_Piece]) -> Entry:
    """Return a source as an operation on the leaves that were made of it."""
    ordered = sorted(pieces, key=lambda one: one.start)
    joining: Any = ordered[0].operation
    stops = [one.stop for one in ordered]
    if None in stops:
        if len(stops) > 1:
            msg = "several arrays of the view are made of it"
            raise ValueError(msg)
        return Entry((ordered[0].leaf,), joining)
    is_whole = [one.start for one in ordered] == [0, *stops[:-1]]
    is_whole &= stops[-1] == source.spec.shape[joining.axis]
    if not is_whole or any(one.operation != joining for one in ordered):
        msg = "the view has only a part of it, or has some of it twice"
        raise ValueError(msg)
    return Entry(tuple(one.leaf for one in ordered), joining)
