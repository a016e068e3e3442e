"""The hooks that the author of a store defines, and the helpers of the suite that call them."""

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
    """Hooks for a subclass to define. It must not change anything else of the suite."""

    sorts_names: bool = False
    """Set to True if the store returns names sorted, like a JAX pytree, instead of in stored order."""

    def make_store(self, variables: Variables, tmp_path: FilePath) -> VariableStore:
        """Create a store with the given variables.

        Args:
          variables: a nested dict, collections first, with numpy arrays as leaves. The store owns it: it may keep and
            change it.
          tmp_path: an empty folder, a different one for each call.

        Returns:
          The store, open.
        """
        raise NotImplementedError

    def read_back(self, store: VariableStore, tmp_path: FilePath) -> Variables | None:
        """Read the variables from the storage of a store, without using the store.

        The suite compares the result with the content of the store after reads, writes and rejected writes. The
        default, None, skips this comparison.

        Args:
          store: a store that `make_store` returned.
          tmp_path: the folder that was passed to `make_store`.

        Returns:
          A nested dict with arrays as leaves, or None.
        """
        return None

    def count_reads(self, store: VariableStore) -> int | None:
        """Return how many values the store has read from its storage so far.

        A lazy store must define this hook. Without it the suite could not test that metadata needs no I/O.

        Args:
          store: a store that `make_store` returned.

        Returns:
          The number, or None for a store that is not lazy.
        """
        return None

    def _fill(self, tmp_path: FilePath, variables: Variables = MODEL) -> VariableStore:
        """Create a store in a folder of the test."""
        tmp_path.mkdir(exist_ok=True)
        return self.make_store(copy.deepcopy(variables), tmp_path)

    def _cases(self, tmp_path: FilePath) -> Iterator[tuple[str, Variables, VariableStore]]:
        """Yield a store for each set of variables."""
        for number, (name, variables) in enumerate(CASES.items()):
            with self._fill(tmp_path / str(number), variables) as store:
                yield name, self._ordered(variables), store

    def _ordered(self, variables: PyTree) -> Any:
        """Return variables in the order in which the store returns names."""
        if not self.sorts_names or not isinstance(variables, dict):
            return variables
        return {name: self._ordered(variables[name]) for name in sorted(variables)}

    @property
    def _model(self) -> Variables:
        """The variables of the model, in the order of the store."""
        return cast("Variables", self._ordered(MODEL))

    def _writable(self, tmp_path: FilePath) -> VariableStore:
        """Create a writable store of the model's variables, or skip the test."""
        store = self._fill(tmp_path)
        _skip_unless(store.capabilities.writable, "is not writable")
        return store

    def _read_only(self, tmp_path: FilePath) -> VariableStore:
        """Create a read-only store of the model's variables, or skip the test."""
        store = self._fill(tmp_path)
        _skip_unless(not store.capabilities.writable, "is writable")
        return store

    def _thread_safe(self, tmp_path: FilePath, *, writable: bool = False) -> VariableStore:
        """Create a thread-safe store of the model's variables, or skip the test."""
        store = self._writable(tmp_path) if writable else self._fill(tmp_path)
        _skip_unless(store.capabilities.thread_safe, "is not thread-safe")
        return store

    def _expect_holds(self, store: VariableStore, variables: Variables, tmp_path: FilePath) -> None:
        """Check the content of a store, both through the store and through `read_back`."""
        expected = self._ordered(variables)
        expect_values(store.snapshot(), expected, "the store")
        outside = self.read_back(store, tmp_path)
        if outside is not None:
            expect_values(self._ordered(outside), expected, "read_back")


def _skip_unless(holds: bool, otherwise: str) -> None:
    if not holds:
        msg = f"its capabilities say that the store {otherwise}"
        raise unittest.SkipTest(msg)
