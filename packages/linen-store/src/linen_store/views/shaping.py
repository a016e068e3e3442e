"""Views that change each array by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linen_store.reading.specs import floating_dtype
from linen_store.views.entry import Entry, StoreLike
from linen_store.views.naming import matching, opened_entries
from linen_store.views.operations import Cast, Operation, Pad, Reshape, Resize, Slice, Transpose
from linen_store.views.view import View, source_of

__all__ = ["cast", "pad", "reshape", "resize", "slice_axis", "transpose"]


def _applied(store: StoreLike, pattern: str, operation: Operation, name: str) -> View:
    """Apply an operation to the arrays that match a pattern."""
    opened, entries = opened_entries(store)
    is_changed = matching(name, [pattern], entries)
    changed = {
        names: Entry((source_of(opened, names, entry),), operation)
        if is_changed(names) and isinstance(entry, Entry)
        else entry
        for names, entry in entries.items()
    }
    return View(changed.items(), f"{name} of {opened!r}")


def cast(store: StoreLike, dtype: Any, pattern: str = "") -> View:
    """Cast floating-point arrays.

    Args:
      store: the store.
      dtype: the floating-point dtype.
      pattern: the arrays; all by default.

    Raises:
      StoreDtypeError: ``dtype`` is not a floating-point dtype.
      PatternUnmatchedError: the pattern does not match any name.

    Example:
      >>> import numpy as np
      >>> view = cast({"params": {"w": np.ones(2, np.float32), "n": np.arange(2)}}, "bfloat16")
      >>> view.spec("params", ("w",)).dtype, view.spec("params", ("n",)).dtype
      (dtype(bfloat16), dtype('int64'))
    """
    return _applied(store, pattern, Cast(floating_dtype(dtype)), "cast")


def transpose(store: StoreLike, pattern: str, axes: Sequence[int] | None = None) -> View:
    """Transpose arrays, such as the weights of ``torch.nn.Linear``, which are (out, in).

    Args:
      store: the store.
      pattern: the arrays.
      axes: for each axis of the result the axis of the array; reversed by default. A convolution of PyTorch, (out, in,
        height, width), becomes (height, width, in, out) with ``(2, 3, 1, 0)``.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: ``axes`` does not suit an array.

    Example:
      >>> import numpy as np
      >>> transpose({"params": {"kernel": np.zeros((3, 2))}}, "kernel$").spec("params", ("kernel",)).shape
      (2, 3)
    """
    return _applied(store, pattern, Transpose(None if axes is None else tuple(axes)), "transpose")


def reshape(store: StoreLike, pattern: str, shape: Sequence[int]) -> View:
    """Reshape arrays; one size may be -1.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: the number of elements differs.

    Example:
      >>> import numpy as np
      >>> reshape({"params": {"q": np.zeros((8, 6))}}, "q$", (8, 2, -1)).spec("params", ("q",)).shape
      (8, 2, 3)
    """
    return _applied(store, pattern, Reshape(tuple(shape)), "reshape")


def slice_axis(store: StoreLike, pattern: str, axis: int, start: int, stop: int) -> View:
    """Keep a range of indices of an axis.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: the axis does not have the range.

    Example:
      >>> import numpy as np
      >>> slice_axis({"params": {"w": np.arange(5)}}, "w$", 0, 1, 3).get("params", ("w",))
      array([1, 2])
    """
    return _applied(store, pattern, Slice(axis, start, stop), "slice")


def resize(store: StoreLike, pattern: str, shape: Sequence[int], fill: float) -> View:
    """Cut or fill up each axis at its end, for example to another size of a vocabulary.

    Args:
      store: the store.
      pattern: the arrays.
      shape: the new shape.
      fill: the number in new places.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: the number of axes differs.

    Example:
      >>> import numpy as np
      >>> resize({"params": {"w": np.arange(3)}}, "w$", (5,), fill=0).get("params", ("w",))
      array([0, 1, 2, 0, 0])
    """
    return _applied(store, pattern, Resize(tuple(shape), fill), "resize")


def pad(
    store: StoreLike, pattern: str, axis: int, before: int, after: int, fill: float = 0.0
) -> View:
    """Fill up an axis on either side, for example with positions before the first.

    Args:
      store: the store.
      pattern: the arrays.
      axis: the axis.
      before: number of indices before the first.
      after: number of indices after the last.
      fill: the number in new places.

    Raises:
      PatternUnmatchedError: the pattern does not match any name.
      ViewError: an array does not have the axis, or a number is negative.

    Example:
      >>> import numpy as np
      >>> pad({"params": {"w": np.arange(1, 4)}}, "w$", 0, 1, 2).get("params", ("w",))
      array([0, 1, 2, 3, 0, 0])
    """
    return _applied(store, pattern, Pad(axis, before, after, fill), "pad")
