"""Failures to load a checkpoint into a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linen_core.errors import StoreError
from linen_store._texts import counted

__all__ = [
    "MeshSizeError",
    "PatternUnmatchedError",
    "RenameCollisionError",
    "RenamePatternError",
    "RestoreMismatchError",
    "RestoreTargetError",
    "RngsMissingError",
    "StoreOptionsError",
    "UnevenShardingError",
]


class RestoreMismatchError(StoreError, ValueError):
    """The arrays of a store do not match the variables of a model; every mismatch is listed.

    Attributes:
      model: the class name of the model.
      store: the store, rendered.
      problems: one line for each leaf that does not match.
    """

    def __init__(self, model: str, store: str, problems: Sequence[str]) -> None:
        self.model = model
        self.store = store
        self.problems = tuple(problems)
        count = counted(len(self.problems), "leaf does", "leaves do")
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(
            f"Cannot restore {model} from {store}: {count} not match. Map "
            "names with `rename=`, initialise missing variables with `init_missing=True`, ignore "
            f"unexpected arrays with `strict=False`.\n{lines}"
        )


class RngsMissingError(StoreError, ValueError):
    """Variables must be initialised, and no random key was given.

    Attributes:
      model: the class name of the model.
      missing: names of the variables.
    """

    def __init__(self, model: str, missing: Sequence[Sequence[str]]) -> None:
        self.model = model
        self.missing = tuple(map(tuple, missing))
        super().__init__(
            f"Cannot initialise {counted(len(self.missing), 'variable')} of {model} that the store lacks, "
            f"the first is {'/'.join(self.missing[0])!r}: expected `rngs=`, found None. Pass a "
            "key or a dict of keys."
        )


class RenameCollisionError(StoreError, ValueError):
    """`rename` gives two stored leaves the same name.

    Attributes:
      name: the name.
      leaves: the two leaves.
    """

    def __init__(self, name: Sequence[str], first: Sequence[str], second: Sequence[str]) -> None:
        self.name = tuple(name)
        self.leaves = (tuple(first), tuple(second))
        super().__init__(
            f"Cannot rename: {'/'.join(first)!r} and {'/'.join(second)!r} would both be "
            f"{'/'.join(name)!r}. Make the patterns of `rename` more exact, or drop one with "
            "None."
        )


class RenamePatternError(StoreError, ValueError):
    """A pattern of `rename` is not a regular expression, or its replacement is not valid.

    Attributes:
      pattern: the pattern.
      replacement: its replacement.
      reason: the error.
    """

    def __init__(self, pattern: str, replacement: str | None, reason: str) -> None:
        self.pattern = pattern
        self.replacement = replacement
        self.reason = reason
        super().__init__(
            f"Cannot rename {pattern!r} to {replacement!r}: {reason}. Correct it; `re.escape` turns a "
            "name into a pattern that matches it exactly."
        )


class PatternUnmatchedError(StoreError, ValueError):
    """A pattern for names of stored arrays matches none of them.

    Attributes:
      argument: the argument that holds the pattern.
      pattern: the pattern.
      closest: the closest name, or beginning of names; None if none is close.
    """

    def __init__(self, argument: str, pattern: str, closest: str | None) -> None:
        self.argument = argument
        self.pattern = pattern
        self.closest = closest
        hint = "" if closest is None else f" The closest name is {closest!r}."
        super().__init__(
            f"Cannot use the pattern {pattern!r} of `{argument}`: it matches the name of no stored "
            f"array.{hint} Correct the pattern, or leave it out."
        )


class RestoreTargetError(StoreError, TypeError):
    """The first argument of `restore` is neither a model nor a pytree, or is called although it is a pytree.

    Attributes:
      found: its class name.
      reason: the reason.
    """

    def __init__(self, found: str, reason: str) -> None:
        self.found = found
        self.reason = reason
        super().__init__(
            f"Cannot restore into a value of class {found}: {reason}. Pass a model and the arguments of its call, "
            "or only a pytree of arrays or `jax.ShapeDtypeStruct`."
        )


class StoreOptionsError(StoreError, TypeError):
    """Arguments for opening a path were given with a store that is already open.

    Attributes:
      options: the arguments.
      found: the class name of the store.
    """

    def __init__(self, options: Sequence[str], found: str) -> None:
        self.options = tuple(options)
        self.found = found
        shown = ", ".join(f"`{name}=`" for name in self.options)
        super().__init__(
            f"Cannot use {shown} with a {found}: expected the path of a checkpoint. Pass the path "
            "instead, or pass them to `open_store` and its store here. If the model itself takes an "
            "argument of such a name, pass it in `call_kwargs=`."
        )


class UnevenShardingError(StoreError, ValueError):
    """An axis of an array cannot be split over mesh axes.

    Attributes:
      names: the variable.
      shape: its shape.
      partition: the mesh axes of each of its axes.
      axis: the axis.
      sizes: the sizes of the mesh axes.
      reason: the reason.
    """

    def __init__(
        self,
        names: Sequence[str],
        shape: Sequence[int],
        partition: Any,
        axis: int,
        sizes: Any,
        reason: str,
    ) -> None:
        self.names = tuple(names)
        self.shape = tuple(shape)
        self.partition = partition
        self.axis = axis
        self.sizes = dict(sizes)
        self.reason = reason
        super().__init__(
            f"Cannot split {'/'.join(self.names)!r} of shape {self.shape} as {partition} over the "
            f"mesh {self.sizes}: {reason}. Change the rules or the mesh."
        )


class MeshSizeError(StoreError, ValueError):
    """A mesh or a number of processes of a plan is not possible.

    Attributes:
      sizes: the sizes of the mesh axes.
      processes: the number of processes.
    """

    def __init__(self, sizes: Any, processes: int) -> None:
        self.sizes = dict(sizes)
        self.processes = processes
        super().__init__(
            f"Cannot plan for the mesh {self.sizes} and "
            f"{counted(processes, 'process', 'processes')}: expected at least one "
            "device along each axis, and one process or more, but no more than there are devices. "
            "Change the mesh or the number of processes."
        )
