"""scan, vmap, remat and jit over modules: the same on linen_core and on flax.linen."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as fnn
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare
from parity._programs import collect
from parity._transforms import block, gradient, outcome

CALLS: dict[str, Callable[[Any, Any, Any], Any]] = {}
call = collect(CALLS)

STEPS = {
    "variable_axes": {"params": 0, "batch_stats": 0, "intermediates": 0},
    "split_rngs": {"params": True, "dropout": True},
    "length": 3,
}
EACH = {
    "variable_axes": {"params": 0, "batch_stats": 0, "intermediates": 0},
    "split_rngs": {"params": True, "dropout": True},
}


@call
def scan(lib, module, x):
    return lib.scan(block(lib), **STEPS)()(x, None)


@call
def scan_with_broadcast_input(lib, module, x):
    looped = lib.scan(block(lib), **STEPS, in_axes=(lib.broadcast,))
    return looped(name="named")(x, jnp.ones(3))


@call
def scan_with_shared_and_carried_variables(lib, module, x):
    class Count(lib.Module):
        @lib.compact
        def __call__(self, x, step):
            seen = self.variable("state", "seen", lambda: jnp.zeros(()))
            seen.value += step.sum()
            return lib.Dense(4)(x), (x + seen.value).sum()

    looped = lib.scan(
        Count,
        variable_broadcast="params",
        variable_carry="state",
        split_rngs={"params": False},
        in_axes=1,
        out_axes=0,
    )
    lib.Dense(1)(x)
    model = looped()
    if module.is_initializing():
        module.put_variable("state", model.name, {"seen": jnp.zeros(())})
    return model(x, jnp.arange(6.0).reshape(2, 3))


@call
def scan_in_reverse_with_other_axes(lib, module, x):
    class Step(lib.Module):
        @lib.compact
        def __call__(self, carry, a, b):
            y = lib.Dense(4)(carry) + a + b
            return y, (y[:, :1], y.sum(0))

    looped = lib.scan(
        Step,
        variable_axes={"params": 1},
        split_rngs={"params": True},
        in_axes=(2, lib.broadcast),
        out_axes=(1, -1),
        reverse=True,
        unroll=2,
    )
    return looped()(x, jnp.arange(24.0).reshape(2, 4, 3), x)


@call
def scan_without_check(lib, module, x):
    return lib.scan(block(lib), **STEPS, check_constancy_invariants=False)()(x, None)


@call
def scan_of_a_function(lib, module, x):
    layer = lib.Dense(4)
    layer(x)

    def step(layer, carry, _):
        return layer(carry), carry.sum()

    looped = lib.scan(step, variable_broadcast="params", split_rngs={"params": False}, length=4)
    return looped(layer, x, None)


@call
def vmap_with_own_variables(lib, module, x):
    mapped = lib.vmap(block(lib), **EACH, axis_size=2)
    return mapped()(x[None].repeat(2, 0))


@call
def vmap_with_shared_variables(lib, module, x):
    mapped = lib.vmap(
        block(lib),
        variable_axes={"params": None, "batch_stats": None, "intermediates": 0},
        split_rngs={"params": False, "dropout": True},
        axis_name="batch",
    )
    return mapped(axis="batch")(jnp.stack([x, 2 * x]))


@call
def vmap_over_other_axes(lib, module, x):
    mapped = lib.vmap(
        lib.Dense,
        variable_axes={"params": -1},
        split_rngs={"params": True},
        in_axes=None,
        out_axes=-1,
        axis_size=2,
    )
    return mapped(3)(x)


@call
def remat(lib, module, x):
    return lib.remat(block(lib))()(lib.remat(block(lib), prevent_cse=False)()(x)[0])


@call
def remat_with_static_argument(lib, module, x):
    class Model(lib.Module):
        @functools.partial(lib.remat, static_argnums=(2,))
        @lib.compact
        def __call__(self, x, train):
            return lib.Dense(3)(x) if train else lib.Dense(2)(x)

    return Model()(x, True)


@call
def remat_scan(lib, module, x):
    return lib.remat_scan(lib.Dense, lengths=(2, 3))(4)(x)


@call
def jit(lib, module, x):
    jitted = lib.jit(block(lib))
    for _ in range(3):
        x = jitted()(x)[0]
    same = jitted(name="same")
    return same(same(x)[0])


@call
def vmap_of_scan_of_remat(lib, module, x):
    looped = lib.scan(lib.remat(block(lib)), **STEPS)
    return lib.vmap(looped, **EACH, in_axes=(0, None))()(x[None].repeat(2, 0), None)


@call
def decorated_methods(lib, module, x):
    class Model(lib.Module):
        def setup(self):
            self.a = lib.Dense(4)
            self.b = lib.Dense(4)

        @lib.remat
        def first(self, x):
            return self.a(x)

        @lib.jit
        def second(self, x):
            return self.b(self.a(x))

        @functools.partial(lib.vmap, variable_axes={"params": None}, split_rngs={"params": False})
        def third(self, x):
            return self.b(x)

        def __call__(self, x):
            return self.first(self.second(x)) + self.third(x)

    return Model()(x)


@call
def several_methods(lib, module, x):
    class Model(lib.Module):
        def setup(self):
            self.a = lib.Dense(4)

        def up(self, x):
            return self.a(x)

        def down(self, x):
            return self.a(x) * 2

    options = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "in_axes": 0}
    mapped = lib.vmap(Model, methods={"up": options, "down": options})()
    mapped_too = lib.vmap(Model, **options, methods=["up"])()
    return mapped.up(x), mapped.down(x), mapped_too.up(x)


@call
def transforms_in_setup(lib, module, x):
    class Model(lib.Module):
        def setup(self):
            self.layers = lib.scan(block(lib), **STEPS)()
            self.heads = lib.vmap(
                lib.Dense,
                variable_axes={"params": 0},
                split_rngs={"params": True},
                in_axes=None,
                axis_size=2,
            )(2)

        def __call__(self, x):
            return self.heads(self.layers(x, None)[0])

    return Model()(x)


@call
def partial_class(lib, module, x):
    return lib.remat(functools.partial(lib.Dense, use_bias=False))(3)(x)


@call
def shared_modules(lib, module, x):
    class Part(lib.Module):
        inner: Any

        @lib.compact
        def __call__(self, x):
            return self.inner(x) + lib.Dense(4)(x)

    inner = lib.Dense(4)
    return lib.remat(Part)(inner)(x) + inner(x) + lib.jit(Part)(inner)(x)


@call
def module_as_argument(lib, module, x):
    inner = lib.Dense(4)
    return lib.remat(lambda module, inner, x: inner(x))(module, inner, x)


@call
def variable_as_argument(lib, module, x):
    seen = module.variable("state", "seen", lambda: jnp.zeros(()))

    def add(module, seen, x):
        seen.value += 1.0
        return x * seen.value

    return lib.remat(add)(module, seen, x)


DIFFERENTIATED = [
    "scan",
    "scan_of_a_function",
    "vmap_with_own_variables",
    "remat",
    "remat_scan",
    "jit",
    "vmap_of_scan_of_remat",
    "decorated_methods",
]


@pytest.mark.parametrize("name", list(CALLS))
def test_call_does_the_same(name):
    ours = compare.assert_same_outcome(
        lambda: outcome(nn, CALLS[name]), lambda: outcome(fnn, CALLS[name]), where=name
    )
    assert ours is not None


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradient_is_the_same(name):
    compare.assert_same_outcome(
        lambda: gradient(nn, CALLS[name]), lambda: gradient(fnn, CALLS[name]), where=name
    )
