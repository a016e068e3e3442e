"""Errors of variable stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from linen_core.errors._base import LinenError, did_you_mean, listing, render_path

__all__ = [
    "InvalidStoreError",
    "LazyStoreTracedError",
    "StoreClosedError",
    "StoreError",
    "StorePathError",
    "StoreReadOnlyError",
    "StoreTestsError",
    "StoreTracedError",
    "UnknownStoreError",
]


class StoreError(LinenError):
    """Base of the errors of variable stores."""


class StorePathError(StoreError, KeyError):
    """A path was read at which the store has nothing."""

    def __init__(
        self, collection: str, path: Sequence[str], reason: str = "nothing is stored there"
    ) -> None:
        self.collection = collection  #: Name of the collection.
        self.path = tuple(path)  #: The path inside the collection.
        super().__init__(f"Cannot find {render_path(collection, path)!r} in the store: {reason}.")


class StoreReadOnlyError(StoreError, TypeError):
    """A value was put into, or deleted from, a read-only store."""

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store  #: Class name of the store.
        self.collection = collection  #: Name of the collection.
        self.path = tuple(path)  #: The path inside the collection.
        super().__init__(
            f"Cannot write {render_path(collection, path)!r}: {store} is read-only. "
            "Call `store.snapshot()` for a plain nested dict, and change that."
        )


class StoreClosedError(StoreError, ValueError):
    """A store was read after it was closed."""

    def __init__(self, store: str) -> None:
        self.store = store  #: Class name of the store.
        super().__init__(
            f"Cannot read from a closed {store}. Open it again, or read inside its `with` block."
        )


class LazyStoreTracedError(StoreError, RuntimeError):
    """A store that reads on demand was read inside a JAX trace.

    The value would become a constant of the compiled program.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store  #: Class name of the store.
        self.address = render_path(collection, path)  #: Collection and path of the variable.
        super().__init__(
            f"Cannot read {self.address!r} from a {store} inside a JAX transform: it would become a constant of the "
            "program. Read first, then trace:\n"
            "    variables = store.snapshot()\n"
            "    jax.jit(model.apply)(variables, x)"
        )


class StoreTracedError(StoreError, RuntimeError):
    """A store was passed to a JAX transform or to a function of arrays."""

    def __init__(self, store: str) -> None:
        self.store = store  #: Class name of the store.
        super().__init__(
            f"Cannot pass a {store} to a JAX transform, which takes arrays and containers of arrays. Read the store "
            "first:\n"
            "    variables = store.snapshot()\n"
            "    jax.jit(model.apply)(variables, x)"
        )


class UnknownStoreError(StoreError, LookupError):
    """No store is registered under a name."""

    def __init__(self, name: str, known: Iterable[str], advice: str = "") -> None:
        self.name = name  #: The name.
        self.known = tuple(known)  #: Names of the registered stores.
        super().__init__(
            f"No variable store {name!r}: registered are {listing(self.known)}.{did_you_mean(name, self.known)}"
            f"{advice}"
        )


class StoreTestsError(LinenError, TypeError):
    """A subclass of `linen_core.testing.StoreTests` would run only a part of the test suite."""

    def __init__(self, tests: str, complaint: str) -> None:
        self.tests = tests  #: Name of the subclass.
        self.complaint = complaint  #: Description of its mistake.
        super().__init__(
            f"Cannot test a store with {tests}: {complaint}. "
            "Define the hooks of linen_core.testing.StoreTests in it, and nothing else of the suite."
        )


class InvalidStoreError(StoreError, TypeError):
    """An entry point that is registered as a variable store refers to something else."""

    def __init__(self, name: str, target: str, found: Any) -> None:
        self.name = name  #: Name of the entry point.
        self.target = target  #: Import path of the entry point.
        self.found = found  #: The imported object.
        super().__init__(
            f"Cannot use the store {name!r}: its entry point {target!r} is {found!r}, expected a subclass of "
            "VariableStore. Correct the entry point in the package that registers it."
        )
