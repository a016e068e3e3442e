"""Finds the closest of very many names, for "did you mean".

Comparing two names letter by letter is slow. All names are first ranked by the number of letters and pairs of letters
that they share with the wanted one, and only the best are compared.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["ClosestNames"]

_BINS = 256
_ROWS = 4096
"""Number of names that are counted at once."""

_COMPARED = 64


class ClosestNames:
    """Finds the closest of some names.

    Args:
      names: the names.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        blocks = [_counts(names[start : start + _ROWS]) for start in range(0, len(names), _ROWS)]
        self._counts = np.concatenate(blocks) if blocks else np.zeros((0, _BINS), np.uint8)
        self._sizes = self._counts.sum(1, dtype=np.int64)

    def find(self, name: str) -> str | None:
        """Return the closest name; None if none is close."""
        counts = _counts([name])
        shared = np.minimum(self._counts, counts).sum(1, dtype=np.int64)
        alike = shared / np.maximum(self._sizes + counts.sum(dtype=np.int64), 1)
        if len(alike) > _COMPARED:
            chosen = np.sort(np.argpartition(-alike, _COMPARED)[:_COMPARED])
        else:
            chosen = np.arange(len(alike))
        close = difflib.get_close_matches(name, [self._names[index] for index in chosen], n=1)
        return close[0] if close else None


def _counts(names: Sequence[str]) -> np.ndarray[Any, Any]:
    """Count the letters and pairs of letters of each name, in a few bins."""
    raw = [name.encode(errors="surrogatepass") for name in names]
    letters = np.frombuffer(b"".join(raw), np.uint8).astype(np.int64)
    rows = np.repeat(np.arange(len(raw)), [len(one) for one in raw])
    pairs = (letters[:-1] * 31 + letters[1:] * 17) % _BINS
    within = rows[:-1] == rows[1:]
    places = np.concatenate([rows * _BINS + letters, rows[:-1][within] * _BINS + pairs[within]])
    counts = np.bincount(places, minlength=len(raw) * _BINS).reshape(len(raw), _BINS)
    return np.minimum(counts, 255).astype(np.uint8)
