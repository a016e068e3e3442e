"""Names the variables that make JAX reject a loop."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
import numpy as np

from linen_core.errors import ScanCarryError
from linen_core.transforms._packing import Group

__all__ = ["CarryCheck"]


class CarryCheck:
    """Compares the variables that enter a step of a loop with those that leave it.

    JAX reports a changed carry by its position in a flat tuple. This class keeps the shapes and dtypes of the last
    traced step, to report the names of the variables instead. It raises only if JAX does: after a change that promotion
    of weak types can resolve, JAX traces the step again with promoted inputs.

    Args:
      transform: name of the loop.
      scope_path: path of the module.
    """

    def __init__(self, transform: str, scope_path: str) -> None:
        self._transform = transform
        self._scope_path = scope_path
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}

    def record(self, before: Group, after: Group) -> None:
        """Keep the shapes and dtypes of the variables before and after a step."""
        self._before, self._after = _shapes_of(before), _shapes_of(after)

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
        """Name the variables if JAX rejects the loop because its carry changes.

        Raises:
          ScanCarryError: a step creates a carried variable, or changes its shape or dtype.
        """
        try:
            yield
        except ScanCarryError:  # of a loop inside this one
            raise
        except TypeError:
            created = [name for name in self._after if name not in self._before]
            changed = [
                f"{name} from {old} to {self._after[name]}"
                for name, old in self._before.items()
                if self._after.get(name, old) != old
            ]
            if not created and not changed:
                raise
            raise ScanCarryError(self._transform, self._scope_path, created, changed) from None


def _shapes_of(group: Group) -> dict[str, str]:
    """Return dtype and shape of each variable, by collection and path."""
    described = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(group):
        name = jax.tree_util.keystr(path[1:], simple=True, separator="/")
        dtype = getattr(leaf, "dtype", type(leaf).__name__)
        described[name] = f"{dtype}{list(np.shape(leaf))}"
    return described
