"""Arguments of a user's method may have any name, those that Linen's own functions use inside among them."""

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

NAMES = [
    "args",
    "context",
    "fn",
    "fun",
    "function",
    "interceptors",
    "key",
    "keys",
    "kwargs",
    "lifted",
    "method_name",
    "module",
    "next_fun",
    "rng_groups",
    "scope",
    "scopes",
    "trace",
    "transform",
    "variable_groups",
]
X = jnp.ones((2, 3))


def _jit_takes(name):
    """Return whether a function under `jax.jit` may have an argument of this name. Before JAX 0.9, "fun" is JAX's."""
    try:
        jax.jit(lambda **more: more)(**{name: 1.0})
    except TypeError:
        return False
    return True


class Adding(nn.Module):
    @nn.compact
    def __call__(self, x, **more):
        return nn.Dense(3)(x) + sum(more.values())


WAYS = {
    "plain": Adding,
    "jit": nn.jit(Adding),
    "remat": nn.remat(Adding),
    "fold_rngs": nn.fold_rngs(Adding),
    "map_variables": nn.map_variables(Adding, "params", lambda tree: tree, init=True),
}


@pytest.mark.parametrize("is_intercepted", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_any_name_may_be_an_argument(way, is_intercepted):
    names = [name for name in NAMES if way != "jit" or _jit_takes(name)]
    module, more = WAYS[way](), {name: jnp.full(3, 0.5) for name in names}
    interceptor = lambda next_fun, args, kwargs, context: next_fun(*args, **kwargs)
    if is_intercepted:
        with nn.intercept_methods(interceptor):
            y, variables = module.init_with_output(jax.random.key(0), X, **more)
    else:
        y, variables = module.init_with_output(jax.random.key(0), X, **more)
    expected = module.apply(variables, X) + 0.5 * len(names)
    assert jnp.allclose(y, expected)
