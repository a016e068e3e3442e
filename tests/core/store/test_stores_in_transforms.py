"""A store passed to a JAX transform in place of arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors

X = jnp.ones((1, 3))
MODEL = nn.Dense(2)
VARIABLES = MODEL.init(jax.random.key(0), X)
STORE = nn.as_store(VARIABLES)

CALLS = {
    "jit": lambda: jax.jit(MODEL.apply)(STORE, X),
    "grad": lambda: jax.grad(lambda v: MODEL.apply(v, X).sum())(STORE),
    "vmap": lambda: jax.vmap(MODEL.apply)(STORE, X),
    "scan": lambda: jax.lax.scan(lambda v, x: (v, MODEL.apply(v, x)), STORE, X),
    "checkpoint": lambda: jax.checkpoint(MODEL.apply)(STORE, X),
    "make_jaxpr": lambda: jax.make_jaxpr(MODEL.apply)(STORE, X),
    "eval_shape": lambda: jax.eval_shape(MODEL.apply, STORE, X),
    "device_put": lambda: jax.device_put(STORE),
    "asarray": lambda: jnp.asarray(STORE),
    "asarray of numpy": lambda: np.asarray(STORE),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_error_says_to_read_the_store_first(name):
    with pytest.raises(errors.StoreTracedError) as caught:
        CALLS[name]()
    assert str(caught.value).startswith(
        f"Cannot pass a {type(STORE).__name__} to a JAX transform, which takes arrays and containers of arrays. Read "
        "the store first:\n    variables = store.snapshot()\n    jax.jit(model.apply)(variables, x)"
    )


def test_the_advice_works():
    variables = STORE.snapshot()
    assert (jax.jit(MODEL.apply)(variables, X) == MODEL.apply(VARIABLES, X)).all()


def test_a_store_as_a_static_argument_is_no_error():
    run = jax.jit(MODEL.apply, static_argnums=0)
    assert (run(STORE, X) == MODEL.apply(VARIABLES, X)).all()
