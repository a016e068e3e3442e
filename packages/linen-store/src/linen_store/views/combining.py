"""Views that combine several arrays, or take one apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from linen_core import as_store
from linen_store.errors import PatternUnmatchedError, RenameCollisionError, ViewError
from linen_store.reading.specs import is_array_spec
from linen_store.reading.stored import Names
from linen_store.views.operations import Compute, Concatenate, Mean, Operation, Slice, Stack, Take
from linen_store.views.view import Entry, Source, StoreLike, View, find_entries, source_of

__all__ = ["average", "compute", "concatenate", "overlay", "split", "stack", "unstack"]


def _names(joined: str) -> Names:
    return tuple(joined.split("/"))


def stack(store: StoreLike, pattern: str, into: str, axis: int = 0) -> View:
    r"""Stack numbered modules along a new axis, as `linen_core.scan` keeps its layers.

    Args:
      store: the store.
      pattern: a regular expression whose first group is the number, for example ``r"/block_(\d+)/"``.
      into: what replaces the match in the name, for example ``"/blocks/"``.
      axis: the new axis.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: a number is missing, or shapes differ.

    Example:
      >>> import numpy as np
      >>> layers = {"params": {f"block_{i}": {"w": np.full(2, i)} for i in range(3)}}
      >>> stack(layers, r"block_(\d+)", "blocks").spec("params")
      {'blocks': {'w': ShapeDtypeStruct(shape=(3, 2), dtype=int64)}}
    """
    opened = as_store(store)
    title = f"stack of {opened!r}"
    groups: dict[Names, dict[int, Source]] = {}
    found: dict[Names, Any] = {}
    for names, entry in find_entries(opened).items():
        match = re.search(pattern, joined := "/".join(names))
        if match is None or not isinstance(entry, Entry):
            found[names] = entry
            continue
        target = _names(joined[: match.start()] + into + joined[match.end() :])
        groups.setdefault(target, {})[int(match[1])] = source_of(opened, names, entry)
        found.setdefault(target, None)
    if not groups:
        raise PatternUnmatchedError("stack", pattern, None)
    problems = []
    for target, members in groups.items():
        if missing := sorted(set(range(max(members) + 1)) - set(members)):
            numbers = ", ".join(map(str, missing))
            problems.append(
                f"{'/'.join(target)}: the numbers go to {max(members)}, but {numbers} is missing"
            )
        sources = tuple(members[number] for number in sorted(members))
        found[target] = Entry(sources, Stack(axis))
    if problems:
        raise ViewError(title, problems)
    return View(found, title)


def unstack(store: StoreLike, pattern: str, into: str, axis: int = 0) -> View:
    """Take an axis apart into numbered modules; the inverse of `stack`.

    Args:
      store: the store.
      pattern: the part of the names to replace, for example ``"/blocks/"``.
      into: the replacement with the number in braces, for example ``"/block_{}/"``.
      axis: the axis.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: an array does not have the axis.

    Example:
      >>> import numpy as np
      >>> unstack({"params": {"blocks": {"w": np.zeros((2, 3))}}}, "blocks", "block_{}").leaves("params")
      (('block_0', 'w'), ('block_1', 'w'))
    """
    opened = as_store(store)
    title = f"unstack of {opened!r}"
    found: dict[Names, Any] = {}
    problems = []
    is_matched = False
    for names, entry in find_entries(opened).items():
        match = re.search(pattern, joined := "/".join(names))
        if match is None or not isinstance(entry, Entry):
            found[names] = entry
            continue
        is_matched = True
        source = source_of(opened, names, entry)
        spec = source.spec
        if not is_array_spec(spec) or not -len(spec.shape) <= axis < len(spec.shape):
            problems.append(f"{joined}: cannot take axis {axis} of {spec} apart")
            continue
        for index in range(spec.shape[axis]):
            target = _names(joined[: match.start()] + into.format(index) + joined[match.end() :])
            found[target] = Entry((source,), Take(axis, index))
    if not is_matched:
        raise PatternUnmatchedError("unstack", pattern, None)
    if problems:
        raise ViewError(title, problems)
    return View(found, title)


def _replaced(
    store: StoreLike, sources: Sequence[str], targets: Mapping[str, Operation], title: str
) -> View:
    """Replace leaves by operations on all of them together."""
    opened = as_store(store)
    entries = find_entries(opened)
    title = f"{title} of {opened!r}"
    problems = [
        f"{name}: the store does not have this array"
        for name in sources
        if not isinstance(entries.get(_names(name)), Entry)
    ]
    if problems:
        raise ViewError(title, problems)
    taken = tuple(
        source_of(opened, _names(name), cast("Entry", entries[_names(name)])) for name in sources
    )
    rest = {names: entry for names, entry in entries.items() if "/".join(names) not in sources}
    for name, operation in targets.items():
        if _names(name) in rest:
            raise RenameCollisionError(_names(name), _names(name), _names(sources[0]))
        rest[_names(name)] = Entry(taken, operation)
    return View(rest, title)


def concatenate(store: StoreLike, names: Sequence[str], into: str, axis: int = 0) -> View:
    """Concatenate arrays, for example three projections into a fused one.

    Args:
      store: the store.
      names: the arrays in their order, each as ``collection/module/name``.
      into: the name of the result.
      axis: the axis.

    Raises:
      ViewError: an array is missing, or shapes do not fit.
      RenameCollisionError: another array has the name already.

    Example:
      >>> import numpy as np
      >>> qkv = {"params": {name: np.zeros((4, 2)) for name in "qkv"}}
      >>> fused = concatenate(qkv, ["params/q", "params/k", "params/v"], "params/qkv", axis=1)
      >>> fused.spec("params")
      {'qkv': ShapeDtypeStruct(shape=(4, 6), dtype=float64)}
    """
    return _replaced(store, names, {into: Concatenate(axis)}, "concatenate")


def split(store: StoreLike, name: str, into: Mapping[str, int], axis: int = 0) -> View:
    """Split an array; the inverse of `concatenate`.

    Args:
      store: the store.
      name: the array, as ``collection/module/name``.
      into: the names of the parts, and the size of each along the axis.
      axis: the axis.

    Raises:
      ViewError: the array is missing, or the sizes do not add up to its size.

    Example:
      >>> import numpy as np
      >>> fused = {"params": {"qkv": np.zeros((4, 6))}}
      >>> split(fused, "params/qkv", {"params/q": 2, "params/kv": 4}, axis=1).leaves("params")
      (('q',), ('kv',))
    """
    parts: dict[str, Operation] = {}
    start = 0
    for part, size in into.items():
        parts[part] = Slice(axis, start, start + size)
        start += size
    view = _replaced(store, [name], parts, "split")
    whole = as_store(store).spec(_names(name)[0], _names(name)[1:]).shape[axis]
    if start != whole:
        problem = f"{name}: the parts have {start} of {whole} indices of axis {axis}"
        raise ViewError("split", [problem])
    return view


def compute(
    store: StoreLike, names: Sequence[str], into: str, function: Callable[..., Any]
) -> View:
    """Replace arrays by a function of them, for example a weight norm or an adapter that is folded in.

    Args:
      store: the store.
      names: the arguments, each as ``collection/module/name``.
      into: the name of the result; it may be that of an argument.
      function: a function of arrays that returns one array.

    Raises:
      ViewError: an array is missing, or the function does not return one array.

    Example:
      >>> import numpy as np
      >>> lora = {"params": {"w": np.ones((2, 2)), "a": np.ones((2, 1)), "b": np.ones((1, 2))}}
      >>> merged = compute(lora, ["params/w", "params/a", "params/b"], "params/w", lambda w, a, b: w + a @ b)
      >>> merged.get("params", ("w",)).tolist()
      [[2.0, 2.0], [2.0, 2.0]]
    """
    return _replaced(store, names, {into: Compute(function)}, "compute")


def overlay(*stores: StoreLike) -> View:
    """Lay stores over each other: the first store that has a leaf wins.

    Example:
      >>> overlay({"params": {"head": 1.0}}, {"params": {"head": 2.0, "trunk": 3.0}}).snapshot()
      {'params': {'head': 1.0, 'trunk': 3.0}}

    Raises:
      ViewError: a leaf of one store is a node of another.
    """
    found: dict[Names, Any] = {}
    opened = [as_store(store) for store in stores]
    title = f"overlay of {opened!r}"
    for store in opened:
        for names, entry in find_entries(store).items():
            found.setdefault(names, entry)
    nodes = {names[:depth] for names in found for depth in range(1, len(names))}
    found = {names: one for names, one in found.items() if one != {} or names not in nodes}
    problems = [
        f"{'/'.join(names)}: a leaf in one store, a node in another"
        for names in found
        if names in nodes
    ]
    if problems:
        raise ViewError(title, problems)
    return View(found, title)


def average(*stores: StoreLike) -> View:
    """Average the floating-point arrays of checkpoints; other values are those of the first.

    Raises:
      ViewError: the stores have different names or shapes.

    Example:
      >>> import numpy as np
      >>> mean = average({"params": {"w": np.float32([0, 2])}}, {"params": {"w": np.float32([2, 4])}})
      >>> mean.get("params", ("w",))
      array([1., 3.], dtype=float32)
    """
    opened = [as_store(store) for store in stores]
    title = f"average of {opened!r}"
    tables = [find_entries(store) for store in opened]
    problems = [
        f"{'/'.join(names)}: only some of the stores have it"
        for names in {**tables[0], **{names: None for table in tables for names in table}}
        if any(names not in table for table in tables)
    ]
    if problems:
        raise ViewError(title, problems)
    found: dict[Names, Any] = {}
    for names, entry in tables[0].items():
        if isinstance(entry, Entry) and is_array_spec(opened[0].spec(names[0], names[1:])):
            found[names] = Entry(
                tuple(
                    source_of(store, names, cast("Entry", table[names]))
                    for store, table in zip(opened, tables, strict=True)
                ),
                Mean(),
            )
        else:
            found[names] = entry
    return View(found, title)
