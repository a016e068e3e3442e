"""What a store's author tells the conformance suite, and how the suite uses it."""

from __future__ import annotations

import copy
import unittest
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, cast

from linen_core.store.base import VariableStore
from linen_core.testing._cases import CASES, MODEL, Variables
from linen_core.testing._expect import expect_values
from linen_core.typing import PyTree

__all__ = ["StoreHooks"]


class StoreHooks:
    """The hooks that a subclass of the suite fills in, and nothing else that it may change."""

    sorts_names: bool = False
    """Whether names come sorted, as those of a JAX pytree, and not in the order of storing."""

    def make_store(self, variables: Variables, tmp_path: FilePath) -> VariableStore:
        """Make a store that holds the given variables.

        Args:
          variables: a nested dict, collections first, with numpy arrays as leaves. It is the
            store's own: it may be kept, and changed.
          tmp_path: an empty folder, another one for each call.

        Returns:
          The store, open.
        """
        raise NotImplementedError

    def read_back(self, store: VariableStore, tmp_path: FilePath) -> Variables | None:
        """Read what the store holds, not through the store but from where it keeps it.

        The suite compares this with what the store says after reading, writing and refused writing.
        The default, None, leaves those looks from outside out.

        Args:
          store: a store that `make_store` made.
          tmp_path: the folder that `make_store` was given for it.

        Returns:
          A nested dict with arrays as leaves, or None.
        """
        return None

    def count_reads(self, store: VariableStore) -> int | None:
        """Count the values that the store has read so far from where it keeps them.

        A lazy store must have this hook: how else would a test see that metadata costs no I/O?

        Args:
          store: a store that `make_store` made.

        Returns:
          The number, or None for a store that is not lazy.
        """
        return None

    def _fill(self, tmp_path: FilePath, variables: Variables = MODEL) -> VariableStore:
        """Make a store in a folder of the test's own."""
        tmp_path.mkdir(exist_ok=True)
        return self.make_store(copy.deepcopy(variables), tmp_path)

    def _cases(self, tmp_path: FilePath) -> Iterator[tuple[str, Variables, VariableStore]]:
        """Fill a store with each set of variables in turn."""
        for number, (name, variables) in enumerate(CASES.items()):
            with self._fill(tmp_path / str(number), variables) as store:
                yield name, self._ordered(variables), store

    def _ordered(self, variables: PyTree) -> Any:
        """Bring variables into the order that the store gives names in."""
        if not self.sorts_names or not isinstance(variables, dict):
            return variables
        return {name: self._ordered(variables[name]) for name in sorted(variables)}

    @property
    def _model(self) -> Variables:
        """What a store of the model's variables holds."""
        return cast("Variables", self._ordered(MODEL))

    def _writable(self, tmp_path: FilePath) -> VariableStore:
        """Make a writable store of the model's variables, or skip the test."""
        store = self._fill(tmp_path)
        _skip_unless(store.capabilities.writable, "is not writable")
        return store

    def _read_only(self, tmp_path: FilePath) -> VariableStore:
        """Make a store that is not writable, or skip the test."""
        store = self._fill(tmp_path)
        _skip_unless(not store.capabilities.writable, "is writable")
        return store

    def _thread_safe(self, tmp_path: FilePath, *, writable: bool = False) -> VariableStore:
        """Make a thread-safe store of the model's variables, or skip the test."""
        store = self._writable(tmp_path) if writable else self._fill(tmp_path)
        _skip_unless(store.capabilities.thread_safe, "is not thread-safe")
        return store

    def _expect_holds(self, store: VariableStore, variables: Variables, tmp_path: FilePath) -> None:
        """Check what a store holds, from inside and from outside."""
        expected = self._ordered(variables)
        expect_values(store.snapshot(), expected, "the store")
        outside = self.read_back(store, tmp_path)
        if outside is not None:
            expect_values(self._ordered(outside), expected, "read_back")


def _skip_unless(holds: bool, otherwise: str) -> None:
    if not holds:
        msg = f"its capabilities say that the store {otherwise}"
        raise unittest.SkipTest(msg)
