"""TrainState does what that of flax.training does."""

import flax.serialization
import flax.struct
import flax.training.train_state
import hypothesis
import jax
import jax.numpy as jnp
import optax
import pytest
from hypothesis import strategies as st

import linen_store.serialization
from linen_core import struct, train_state
from parity import _compare as compare

LIBS = (
    (train_state, struct, linen_store.serialization),
    (flax.training.train_state, flax.struct, flax.serialization),
)
OPTIMISERS = {
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "adamw": lambda: optax.adamw(1e-2),
    "masked": lambda: optax.masked(optax.adam(1e-2), {"w": True, "deep": {"b": False}}),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2)),
}
DTYPES = st.sampled_from([jnp.float32, jnp.bfloat16, jnp.float16])


def _both(run):
    compare.assert_same_outcome(lambda: run(*LIBS[0]), lambda: run(*LIBS[1]))


def _params(dtype):
    w = jnp.linspace(-1, 1, 6).reshape(2, 3).astype(dtype)
    return {"w": w, "deep": {"b": jnp.ones(3, dtype)}}


def _grads(params):
    return jax.tree.map(lambda leaf: jnp.cos(leaf.astype(jnp.float32)).astype(leaf.dtype), params)


@compare.parity_settings(share=3)
@hypothesis.given(st.sampled_from(sorted(OPTIMISERS)), DTYPES, st.booleans(), st.integers(0, 3))
def test_steps_of_an_optimiser(name, dtype, jitted, steps):
    def run(lib, structs, serialization):
        class State(lib.TrainState):
            stats: object
            note: str = structs.field(pytree_node=False, default="n")

        state = State.create(
            apply_fn=len, params=_params(dtype), tx=OPTIMISERS[name](), stats={"mean": jnp.zeros(2)}
        )

        def step(state):
            mean = state.stats["mean"] + 1
            return state.apply_gradients(grads=_grads(state.params), stats={"mean": mean})

        run_step = jax.jit(step) if jitted else step
        for _ in range(steps):
            state = run_step(state)
        return (
            state.step,
            state.params,
            state.stats,
            state.note,
            serialization.to_state_dict(state),
            [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)],
        )

    _both(run)


def _with_overwrites(params):
    return {"params": params, "_overwrite_with_gradient": {"scale": jnp.float32(1)}}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_collections_that_the_gradient_replaces(name):
    def run(lib, *_):
        params = _with_overwrites(_params(jnp.float32))
        state = lib.TrainState.create(apply_fn=None, params=params, tx=OPTIMISERS[name]())
        grads = _with_overwrites(_grads(params["params"]))
        grads["_overwrite_with_gradient"]["scale"] = jnp.float32(7)
        after = state.apply_gradients(grads=grads)
        return after.step, after.params, jax.tree.leaves(after.opt_state)

    _both(run)


def test_no_gradient_for_a_part():
    def run(lib, *_):
        params = {"w": jnp.ones(2), "frozen": None}
        state = lib.TrainState.create(apply_fn=None, params=params, tx=optax.sgd(0.5))
        return state.apply_gradients(grads={"w": jnp.ones(2), "frozen": None}).params

    _both(run)


FAILURES = {
    "gradients of another structure": lambda state: state.apply_gradients(grads={"v": 1.0}),
    "no gradients": lambda state: state.apply_gradients(),
    "an unknown field": lambda state: state.replace(other=1),
    "a field is set": lambda state: setattr(state, "step", 3),
}


@pytest.mark.parametrize("name", list(FAILURES))
def test_failures_are_of_the_same_class(name):
    def run(lib, *_):
        state = lib.TrainState.create(apply_fn=None, params={"w": jnp.ones(2)}, tx=optax.sgd(0.5))
        return FAILURES[name](state)

    _both(run)
