"""Assertions of the conformance suite, with the subject of the check in the message.

They raise `AssertionError` explicitly. ``python -O`` would remove a bare ``assert``, and pytest adds a message only to
those in the user's own files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from linen_core.errors import StorePathError
from linen_core.typing import Path, PyTree

__all__ = [
    "array_spec",
    "expect",
    "expect_error",
    "expect_path_error",
    "expect_values",
    "leaf_paths",
    "nodes",
    "value_at",
]


def expect(found: object, expected: object, subject: str) -> None:
    """Check that two values have the same type and are equal.

    Raises:
      AssertionError: they differ.
    """
    if type(found) is not type(expected) or found != expected:
        msg = f"{subject}: expected {expected!r}, found {found!r}"
        raise AssertionError(msg)


def expect_values(found: PyTree, expected: PyTree, subject: str) -> None:
    """Check that two trees have the same nodes in the same order, and bitwise equal leaves.

    Raises:
      AssertionError: they differ.
    """
    if isinstance(expected, dict):
        expect(type(found), dict, f"{subject}: the type of a node")
        expect(list(found), list(expected), f"{subject}: the names, in stored order")
        for name, child in expected.items():
            expect_values(found[name], child, f"{subject}/{name}")
        return
    array = np.asarray(found)
    expect(array.dtype.name, expected.dtype.name, f"{subject}: the dtype")
    expect(array.shape, expected.shape, f"{subject}: the shape")
    expect(array.tobytes(), expected.tobytes(), f"{subject}: the bits")


def expect_path_error(
    collection: str, path: Path, call: Callable[[], object], subject: str
) -> None:
    """Check that a call raises `StorePathError` with the given path.

    Raises:
      AssertionError: it does not.
    """
    with expect_error(StorePathError, subject) as caught:
        call()
    error = caught[0]
    expect((error.collection, error.path), (collection, path), f"{subject}: the path in the error")


@contextlib.contextmanager
def expect_error(kind: type[Exception], subject: str) -> Iterator[list[Any]]:
    """Check that the block raises an error of a class. The list that it yields then contains the error."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    except Exception as error:
        msg = f"{subject}: expected {kind.__name__}, found {error!r}"
        raise AssertionError(msg) from error
    else:
        msg = f"{subject}: expected {kind.__name__}, found no error"
        raise AssertionError(msg)


def array_spec(tree: PyTree) -> Any:
    """Replace the arrays of a tree by their shapes and dtypes."""
    if isinstance(tree, dict):
        return {name: array_spec(child) for name, child in tree.items()}
    if isinstance(tree, jax.ShapeDtypeStruct | jax.Array | np.ndarray):
        return tuple(tree.shape), np.dtype(tree.dtype).name
    return repr(tree)


def leaf_paths(tree: PyTree, path: Path = ()) -> list[Path]:
    """Return the paths of the leaves of a tree, depth first, in stored order."""
    if not isinstance(tree, dict):
        return [path]
    return [leaf for name, child in tree.items() for leaf in leaf_paths(child, (*path, name))]


def nodes(tree: PyTree, path: Path = ()) -> list[tuple[Path, dict[str, Any]]]:
    """Return path and content of each node of a tree, including the root."""
    if not isinstance(tree, dict):
        return []
    below = [node for name, child in tree.items() for node in nodes(child, (*path, name))]
    return [(path, tree), *below]


def value_at(tree: PyTree, path: Path) -> Any:
    """Return the value at a path of a tree."""
    for name in path:
        tree = tree[name]
    return tree
