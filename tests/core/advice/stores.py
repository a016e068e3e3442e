"""Errors of variable stores."""

import contextlib
import importlib.metadata
import pathlib
import tempfile
import types
from importlib.metadata import EntryPoint, EntryPoints
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import linen_core as nn
from core.advice.cases import Case
from linen_core import errors
from linen_core.store.registry import GROUP
from linen_core.testing import StoreTests

X = jnp.ones((1, 3))
MODEL = nn.Dense(2)
VARIABLES = jax.tree.map(np.asarray, MODEL.init(jax.random.key(0), X))


@contextlib.contextmanager
def archive():
    """The path of an archive with the variables, which linen-store opens."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.npz"
        np.savez(path, **{f"params/{name}": value for name, value in VARIABLES["params"].items()})
        yield path


def read_only():
    return nn.MemoryStore(types.MappingProxyType(VARIABLES))


def without_bias():
    variables = read_only().snapshot()
    del variables["params"]["bias"]
    return sorted(variables["params"])


def read_bias(opens_again=False, inside=False):
    with archive() as path:
        with nn.store_class("npz")(path) as store:
            if inside:
                return store.get("params", ("bias",)).tolist()
        if opens_again:
            store = nn.store_class("npz")(path)
        with contextlib.closing(store):
            return store.get("params", ("bias",)).tolist()


def jitted(reads_first):
    with archive() as path, nn.store_class("npz")(path) as store:
        if not reads_first:
            return jax.jit(lambda x: MODEL.apply(store, x))(X)
        variables = store.snapshot()
        return jax.jit(MODEL.apply)(variables, X).shape


def found(name, **registered):
    """Find a store's class while these are the packages that register one."""
    entries = EntryPoints(EntryPoint(key, target, GROUP) for key, target in registered.items())
    with mock.patch.object(
        importlib.metadata, "entry_points", lambda group: entries.select(group=group)
    ):
        return nn.store_class(name).__name__


def make_store(self, variables, tmp_path):
    return nn.MemoryStore(variables)


ZIP = "conformance.zip_store:ZipStore"
OVERRIDING = {"make_store": make_store, "test_metadata_costs_no_read": lambda self: None}
CASES = [
    Case(
        errors.StoreReadOnlyError,
        "Call `store.snapshot()` for a plain nested dict, and change that",
        lambda: read_only().delete("params", ("bias",)),
        without_bias,
        ["kernel"],
    ),
    Case(
        errors.StoreClosedError,
        "Open it again",
        read_bias,
        lambda: read_bias(opens_again=True),
        [0.0, 0.0],
    ),
    Case(
        errors.StoreClosedError,
        "or read inside its `with` block",
        read_bias,
        lambda: read_bias(inside=True),
        [0.0, 0.0],
    ),
    Case(
        errors.LazyStoreTracedError,
        "Read first, then trace:\n    variables = store.snapshot()\n    jax.jit(model.apply)(variables, x)",
        lambda: jitted(reads_first=False),
        lambda: jitted(reads_first=True),
        (1, 2),
    ),
    Case(
        errors.UnknownStoreError,
        "Did you mean 'zip'?",
        lambda: found("zipp", zip=ZIP),
        lambda: found("zip", zip=ZIP),
        "ZipStore",
    ),
    Case(
        errors.UnknownStoreError,
        "Install the package that registers it in its entry-point group 'linen.stores'",
        lambda: found("zip"),
        lambda: found("zip", zip=ZIP),
        "ZipStore",
    ),
    Case(
        errors.UnknownStoreError,
        "For checkpoints, run `pip install linen-store`",
        lambda: found("checkpoint"),
        lambda: nn.store_class("checkpoint").__name__,
        "CheckpointStore",
    ),
    Case(
        errors.InvalidStoreError,
        "Correct the entry point in the package that registers it",
        lambda: found("zip", zip="conformance.zip_store:json"),
        lambda: found("zip", zip=ZIP),
        "ZipStore",
    ),
    Case(
        errors.StoreTestsError,
        "Define the hooks of linen_core.testing.StoreTests in it, and nothing else of the suite",
        lambda: type("TestStore", (StoreTests,), OVERRIDING),
        lambda: type("TestStore", (StoreTests,), {"make_store": make_store}).__name__,
        "TestStore",
    ),
]
