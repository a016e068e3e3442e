"""Views that combine several arrays, or take one apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from linen_core import as_store
from linen_store.errors import RenamePatternError, ViewError
from linen_store.reading.specs import is_array_spec
from linen_store.reading.stored import Names
from linen_store.views.entry import Entry, StoreLike
from linen_store.views.naming import in_order, matching, opened_entries, split_name
from linen_store.views.operations import Compute, Concatenate, Mean, Operation, Slice, Stack, Take
from linen_store.views.view import View, find_entries, source_of

__all__ = ["average", "compute", "concatenate", "overlay", "split", "stack", "unstack"]


def stack(store: StoreLike, pattern: str, into: str, axis: int = 0) -> View:
    r"""Stack numbered modules along a new axis, as `linen_core.scan` keeps its layers.

    Args:
      store: the store.
      pattern: a regular expression whose first group is the number, for example ``r"/block_(\d+)/"``.
      into: what replaces the match in the name, for example ``"/blocks/"``.
      axis: the new axis.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      RenamePatternError: the pattern is not a regular expression, or has no group.
      ViewError: a number is missing or occurs twice, shapes differ, or another array has the new name.

    Example:
      >>> import numpy as np
      >>> layers = {"params": {f"block_{i}": {"w": np.full(2, i)} for i in range(3)}}
      >>> stack(layers, r"block_(\d+)", "blocks").spec("params")
      {'blocks': {'w': ShapeDtypeStruct(shape=(3, 2), dtype=int64)}}
    """
    opened, entries = opened_entries(store)
    title = f"stack of {opened!r}"
    search = _search("stack", pattern, into, entries)
    if search.groups < 1:
        raise RenamePatternError(pattern, into, "expected a group, in parentheses, for the number")
    groups: dict[Names, list[tuple[str, str]]] = {}
    found: list[tuple[Names, Any]] = []
    for names, entry in entries.items():
        match = search.search("/".join(names))
        if match is None or not isinstance(entry, Entry):
            found.append((names, entry))
            continue
        target = _replaced_part(match, into)
        if target not in groups:
            found.append((target, None))  # the stack is where its first layer is
        groups.setdefault(target, []).append((match[1] or "", match.string))
    stacks, problems = {}, []
    for target, members in groups.items():
        try:
            layers = [split_name(name) for name in in_order(members)]
        except ValueError as error:
            problems.append(f"{'/'.join(target)}: {error}")
            continue
        sources = tuple(source_of(opened, one, cast("Entry", entries[one])) for one in layers)
        stacks[target] = Entry(sources, Stack(axis))
    if problems:
        raise ViewError(title, problems)
    return View(((names, stacks[names] if one is None else one) for names, one in found), title)


def _search(argument: str, pattern: str, into: str, entries: Iterable[Names]) -> re.Pattern[str]:
    """Compile a pattern that matches at least one name.

    Raises:
      RenamePatternError: the pattern is not a regular expression.
      PatternUnmatchedError: it matches nothing.
    """
    matching(argument, [pattern], entries, into)
    return re.compile(pattern)


def _replaced_part(match: re.Match[str], into: str) -> Names:
    return split_name(match.string[: match.start()] + into + match.string[match.end() :])


def unstack(store: StoreLike, pattern: str, into: str, axis: int = 0) -> View:
    """Take an axis apart into numbered modules; the inverse of `stack`.

    Args:
      store: the store.
      pattern: the part of the names to replace, for example ``"/blocks/"``.
      into: the replacement with the number in braces, for example ``"/block_{}/"``.
      axis: the axis.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      RenamePatternError: the pattern is not a regular expression.
      ViewError: an array does not have the axis, or another array has the new name.

    Example:
      >>> import numpy as np
      >>> unstack({"params": {"blocks": {"w": np.zeros((2, 3))}}}, "blocks", "block_{}").leaves("params")
      (('block_0', 'w'), ('block_1', 'w'))
    """
    opened, entries = opened_entries(store)
    title = f"unstack of {opened!r}"
    search = _search("unstack", pattern, into, entries)
    if "{}" not in into:
        raise ViewError(title, [f"{into!r}: expected {{}} in the place of the number"])
    found: list[tuple[Names, Any]] = []
    problems = []
    for names, entry in entries.items():
        match = search.search("/".join(names))
        if match is None or not isinstance(entry, Entry):
            found.append((names, entry))
            continue
        source = source_of(opened, names, entry)
        spec = source.spec
        if not is_array_spec(spec) or not -len(spec.shape) <= axis < len(spec.shape):
            problems.append(f"{match.string}: cannot take axis {axis} of {spec} apart")
            continue
        for index in range(spec.shape[axis]):
            target = _replaced_part(match, into.replace("{}", str(index)))
            found.append((target, Entry((source,), Take(axis, index))))
    if problems:
        raise ViewError(title, problems)
    return View(found, title)


def _replaced(
    store: StoreLike, sources: Sequence[str], targets: Mapping[str, Operation], title: str
) -> View:
    """Replace leaves by operations on all of them together."""
    opened, entries = opened_entries(store)
    title = f"{title} of {opened!r}"
    problems = [
        f"{name}: the store does not have this array"
        for name in sources
        if not isinstance(entries.get(split_name(name)), Entry)
    ]
    if problems:
        raise ViewError(title, problems)
    taken = tuple(
        source_of(opened, split_name(name), cast("Entry", entries[split_name(name)]))
        for name in sources
    )
    rest = [(names, one) for names, one in entries.items() if "/".join(names) not in sources]
    made = [(split_name(name), Entry(taken, operation)) for name, operation in targets.items()]
    return View([*rest, *made], title)


def concatenate(store: StoreLike, names: Sequence[str], into: str, axis: int = 0) -> View:
    """Concatenate arrays, for example three projections into a fused one.

    Args:
      store: the store.
      names: the arrays in their order, each as ``collection/module/name``.
      into: the name of the result.
      axis: the axis.

    Raises:
      ViewError: an array is missing, shapes do not fit, or another array has the new name.

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
    whole = as_store(store).spec(split_name(name)[0], split_name(name)[1:]).shape[axis]
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
    for store in opened:
        for names, entry in find_entries(store).items():
            found.setdefault(names, entry)
    return View(found.items(), f"overlay of {opened!r}")


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
    if not opened:
        raise ViewError(title, ["expected at least one store"])
    tables = [find_entries(store) for store in opened]
    problems = [
        f"{'/'.join(names)}: only some of the stores have it"
        for names in dict.fromkeys(names for table in tables for names in table)
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
    return View(found.items(), title)
