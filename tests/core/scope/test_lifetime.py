"""What a run holds goes with it at once, without waiting for the garbage collector: values may be large, or tracers."""

from __future__ import annotations

import gc
import weakref

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core.scope import Scope

X = jnp.ones((2, 3))


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_scope_is_no_cycle():
    root = Scope({"params": {"child": {"w": X}}}, rngs={"params": jax.random.key(0)}, mutable=True)
    child = root.push("child")
    assert child.root is root
    assert root.rewound().root is not root
    held = [weakref.ref(scope) for scope in (root, child)]
    del root, child
    assert [ref() for ref in held] == [None, None]


@pytest.mark.usefixtures("no_collection")
def test_run_of_init_and_apply_leaves_no_tracer():
    model = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)])

    @jax.jit
    @jax.vmap
    def run(key):
        return model.apply(model.init(key, X), X)

    with pytest.MonkeyPatch.context() as patch, jax.checking_leaks():
        patch.setattr(gc, "collect", lambda *args: 0)  # JAX's check would collect cycles itself
        assert run(jax.random.split(jax.random.key(0), 3)).shape == (3, 2, 2)
