"""Transforms of functions of scopes do what those of flax.core.lift do."""

import inspect

import flax.core
import flax.core.lift
import jax
import jax.numpy as jnp
import pytest

from linen_core import lift
from linen_core.scope import apply, init
from linen_core.store import MemoryStore
from parity._compare import assert_same_tree, plain

X = jnp.arange(6.0).reshape(2, 3)
PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


def dense(scope, x, features=3):
    kernel = scope.param("kernel", jax.nn.initializers.lecun_normal(), (x.shape[-1], features))
    return x @ kernel


@program
def jit(lib, scope, x):
    def scaled(scope, hash_key, *args, power):
        x, factor = args
        assert hash_key in {"first", ("second",)}
        scope.variable("state", hash_key[0], lambda: jnp.zeros(()))
        return factor * dense(scope, x) ** power + jax.random.normal(scope.make_rng("noise"))

    jitted = lib.jit(scaled, static_argnums=(2,), static_argnames="power")
    child = scope.push("child")
    y = jitted(scope, "first", x, 2, power=3)
    return y, jitted(child, ("second",), y, 3, power=2), jax.random.normal(child.make_rng("noise"))


@program
def vmap(lib, scope, x):
    axes = {"params": 0}
    return lib.vmap(dense, variable_axes=axes, split_rngs={"params": True})(scope, x)


@program
def vmap_in_and_out(lib, scope, x):
    def count(scope, x):
        scope.variable("state", "n", lambda: jnp.zeros(()))
        return dense(scope, x)

    axes = {"params": 0, "state": lib.Out(0)}
    return lib.vmap(count, variable_axes=axes, split_rngs={"params": True})(scope, x)


@program
def scan(lib, scope, x):
    def body(scope, carry, _):
        carry = jnp.tanh(dense(scope, carry, carry.shape[-1]))
        return carry, carry.sum()

    options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "reverse": True}
    return lib.scan(body, length=3, **options)(scope, x, jnp.arange(3))


@program
def remat(lib, scope, x):
    assert lib.remat is lib.checkpoint
    return lib.remat(dense)(scope, x)


@program
def remat_scan(lib, scope, x):
    return lib.remat_scan(lambda scope, x: jnp.tanh(dense(scope, x)), (2, 2))(scope, x)


@program
def vjp(lib, scope, x):
    result, pull_back = lib.vjp(dense, scope.push("layer"), x)
    return result, pull_back(jnp.ones_like(result))


@program
def value_and_grad(lib, scope, x):
    return lib.value_and_grad(lambda scope, x: dense(scope, x).sum(), scope, x)


@program
def jvp(lib, scope, x):
    dense(scope, x)
    scope = scope.rewound()
    tangents = {"params": jax.tree.map(jnp.ones_like, dict(scope.variables()["params"]))}
    return lib.jvp(dense, scope, (x,), (x + 1,), tangents)


@program
def cond(lib, scope, x):
    return lib.cond(x.sum() > 0, lambda _, x: 2 * x, lambda _, x: x, scope, x)


@program
def switch(lib, scope, x):
    return lib.switch(1, [lambda _, x: x, lambda _, x: 3 * x], scope, x)


@program
def while_loop(lib, scope, x):
    scope.variable("state", "n", lambda: 0)

    def body(scope, x):
        scope.put_variable("state", "n", scope.get_variable("state", "n") + 1)
        return 2 * x

    condition = lambda scope, _: scope.get_variable("state", "n") < 3
    return lib.while_loop(condition, body, scope, x, carry_variables="state")


@program
def map_variables(lib, scope, x):
    transpose = lambda tree: jax.tree.map(jnp.transpose, tree)
    mapped = lib.map_variables(dense, "params", transpose, transpose, init=True, mutable=True)
    return mapped(scope, x)


@program
def custom_vjp(lib, scope, x):
    forward = lambda scope, x: lib.vjp(dense, scope, x)

    def backward(pull_back, cotangent):
        variables, x = pull_back(cotangent)
        return jax.tree.map(jnp.sign, variables), x

    return lib.custom_vjp(dense, forward, backward)(scope, x)


WRITING = ("jit", "jvp", "vmap_in_and_out", "while_loop")
"""Programs that write variables, which `apply` without `mutable` refuses."""
# Names that modules use inside flax only.
INTERNAL = {
    "fold_rngs",
    "pack",
    "set_from_dict",
    "swap_collection",
    "tree_map_rngs",
    "id_fn",
}


def test_every_transform_is_here():
    theirs = {
        name
        for name, value in vars(flax.core.lift).items()
        if inspect.isfunction(value) and value.__module__ == "flax.core.lift" and name[0] != "_"
    }
    assert theirs - INTERNAL <= set(lift.__all__)


@pytest.mark.parametrize("name", PROGRAMS)
def test_functions_of_scopes(name):
    results = []
    for lib, initialize, run in (
        (lift, init, apply),
        (flax.core.lift, flax.core.init, flax.core.apply),
    ):
        function = lambda scope, x, lib=lib: PROGRAMS[name](lib, scope, x)
        result, variables = initialize(function)(jax.random.key(0), X)
        applied = run(function)(variables, X) if name not in WRITING else ()
        results.append((result, variables, applied))
    assert_same_tree(*map(plain, results))


def test_a_jitted_function_is_traced_once_for_equal_keys():
    for lib, initialize in ((lift, init), (flax.core.lift, flax.core.init)):
        traces = []

        def double(scope, hash_key, x, traces=traces):
            traces.append(hash_key)
            return 2 * x

        def run(scope, x, lib=lib, double=double):
            jitted = lib.jit(double)
            for hash_key in (1, 1, 2, None, None):
                x = jitted(scope, hash_key, x)
            return x

        assert initialize(run)(jax.random.key(0), 1.0)[0] == 32
        assert traces == [1, 2, None]


def test_gradients_of_a_custom_rule():
    function = lambda scope, x: PROGRAMS["custom_vjp"](lift, scope, x)
    _, variables = init(function)(jax.random.key(0), X)
    gradient = jax.grad(lambda variables: apply(function)(variables, X).sum())(variables)
    assert set(jax.tree.leaves(jax.tree.map(lambda g: float(g.max()), gradient))) == {1.0}


def test_a_jitted_function_reads_variables_of_a_store():
    function = lambda scope, x: lift.jit(dense_with_key)(scope, "dense", x)
    dense_with_key = lambda scope, hash_key, x: dense(scope, x)
    y, variables = init(function)(jax.random.key(0), X)
    assert_same_tree(apply(function)(MemoryStore(variables), X), y)
