"""Errors of loops over variables that are handed from step to step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
import numpy as np

from linen_core.errors import ScanCarryError
from linen_core.transforms._packing import Group

__all__ = ["CarryWatch"]


class CarryWatch:
    """Compares the variables that enter a step of a loop with those that leave it.

    Args:
      transform: name of the loop.
      scope_path: path of the module.
    """

    def __init__(self, transform: str, scope_path: str) -> None:
        self._transform = transform
        self._scope_path = scope_path
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}

    def step(self, before: Group, after: Group) -> None:
        """Keep the shapes of the variables before and after a step."""
        self._before, self._after = _described(before), _described(after)

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Name the variables where JAX refuses a loop because its carry changes.

        Raises:
          ScanCarryError: a step creates a carried variable, or changes its shape or dtype.
        """
        try:
            yield
        except TypeError as error:
            created = [name for name in self._after if name not in self._before]
            changed = [
                f"{name} from {self._before[name]} to {found}"
                for name, found in self._after.items()
                if name in self._before and self._before[name] != found
            ]
            if isinstance(error, ScanCarryError) or not (created or changed):
                raise
            raise ScanCarryError(self._transform, self._scope_path, created, changed) from None


def _described(group: Group) -> dict[str, str]:
    """Return the dtype and shape of each variable, by collection and path."""
    return {
        jax.tree_util.keystr(path[1:], simple=True, separator="/"): f"{dtype}{list(np.shape(leaf))}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(group)
        for dtype in [getattr(leaf, "dtype", type(leaf).__name__)]
    }
