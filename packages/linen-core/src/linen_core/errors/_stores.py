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
    """A store was asked for a path at which it has nothing.

    Attributes:
      collection: name of the collection that was asked.
      path: the path inside the collection.
    """

    def __init__(
        self, collection: str, path: Sequence[str], reason: str = "nothing is stored there"
    ) -> None:
        self.collection = collection
        self.path = tuple(path)
        super().__init__(f"Cannot find {render_path(collection, path)!r} in the store: {reason}.")


class StoreReadOnlyError(StoreError, TypeError):
    """A value was put into, or deleted from, a store that cannot be written.

    Attributes:
      store: the class name of the store.
      collection: name of the collection.
      path: the path inside the collection.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store
        self.collection = collection
        self.path = tuple(path)
        super().__init__(
            f"Cannot write {render_path(collection, path)!r}: {store} is read-only. "
            "Take `store.snapshot()`, a plain nested dict, and change that."
        )


class StoreClosedError(StoreError, ValueError):
    """A store was read after it was closed.

    Attributes:
      store: the class name of the store.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(
            f"Cannot read from a closed {store}. Open it again, or read inside its `with` block."
        )


class LazyStoreTracedError(StoreError, RuntimeError):
    """A store that reads on demand was read inside a JAX trace.

    What it read would become a constant of the compiled program.

    Attributes:
      store: the class name of the store.
      address: the variable that was read.
    """

    def __init__(self, store: str, collection: str, path: Sequence[str]) -> None:
        self.store = store
        self.address = render_path(collection, path)
        super().__init__(
            f"Cannot read {self.address!r} from a {store} inside a JAX transform: it would become a constant of the "
            "program. Read first, then trace:\n"
            "    variables = store.snapshot()\n"
            "    jax.jit(model.apply)(variables, x)"
        )


class StoreTracedError(StoreError, RuntimeError):
    """A store was passed to a JAX transform, or to a function of arrays.

    Attributes:
      store: the class name of the store.
    """

    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(
            f"Cannot pass a {store} to a JAX transform, which takes arrays and containers of arrays. Read the store "
            "first:\n"
            "    variables = store.snapshot()\n"
            "    jax.jit(model.apply)(variables, x)"
        )


class UnknownStoreError(StoreError, LookupError):
    """No store is registered under a name.

    Attributes:
      name: the name.
      known: the names that are registered.
    """

    def __init__(self, name: str, known: Iterable[str], advice: str = "") -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(
            f"No variable store {name!r}: registered are {listing(self.known)}.{did_you_mean(name, self.known)}"
            f"{advice}"
        )


class StoreTestsError(LinenError, TypeError):
    """A subclass of `linen_core.testing.StoreTests` would run less than the whole suite.

    Attributes:
      tests: the name of the subclass.
      complaint: what is wrong with it.
    """

    def __init__(self, tests: str, complaint: str) -> None:
        self.tests = tests
        self.complaint = complaint
        super().__init__(
            f"Cannot prove a store with {tests}: {complaint}. "
            "Define the hooks of linen_core.testing.StoreTests in it, and nothing of the suite itself."
        )


class InvalidStoreError(StoreError, TypeError):
    """What is registered as a variable store is none.

    Attributes:
      name: the name that it is registered under.
      target: where it is registered to be.
      found: what lies there.
    """

    def __init__(self, name: str, target: str, found: Any) -> None:
        self.name = name
        self.target = target
        self.found = found
        super().__init__(
            f"Cannot use the store {name!r}: its entry point {target!r} gives {found!r}, expected a subclass of "
            "VariableStore. Correct the entry point in the package that registers it."
        )
