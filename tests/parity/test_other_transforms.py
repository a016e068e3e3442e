"""Derivatives, control flow, mapped variables, boxes and failures of transforms: the same on both sides."""

from collections.abc import Callable
from typing import Any

import flax.linen as fnn
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity import _compare as compare
from parity._programs import collect
from parity._transforms import block, boxed, gradient, outcome

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
def map_variables(lib, module, x):
    def double(variables):
        return jax.tree.map(lambda a: 2 * a, variables)

    def halve(variables):
        return jax.tree.map(lambda a: a / 2, variables)

    mutable = module.is_mutable_collection("params")
    return lib.map_variables(lib.Dense, "params", double, halve, init=mutable)(3)(x)


@call
def tied_transposed(lib, module, x):
    def transpose(variables):
        return jax.tree.map(lambda a: a.T, variables)

    layer = lib.Dense(4, use_bias=False)
    decode = lib.map_variables(lambda m, z: m(z), "params", transpose, transpose, mutable=True)
    return decode(layer, layer(x))


@call
def vjp(lib, module, x):
    y, pull_back = lib.vjp(lambda m, x: m(x), lib.Dense(1), x)
    return pull_back(jnp.ones_like(y))


@call
def vjp_with_aux(lib, module, x):
    y, pull_back, aux = lib.vjp(lambda m, x: (m(x), x.sum()), lib.Dense(1), x, has_aux=True)
    return pull_back(jnp.ones_like(y)), aux


@call
def value_and_grad(lib, module, x):
    return lib.value_and_grad(lambda m, x: m(x).sum(), lib.Dense(1), x)


@call
def grad_with_aux(lib, module, x):
    return lib.grad(lambda m, x: (m(x).sum(), x.mean()), lib.Dense(1), x, has_aux=True)


@call
def grad_of_no_scalar(lib, module, x):
    return lib.grad(lambda m, x: m(x), lib.Dense(1), x)


@call
def jvp(lib, module, x):
    layer = lib.Dense(2)
    layer(x)
    tangents = jax.tree.map(jnp.ones_like, layer.variables["params"])
    return lib.jvp(lambda m, x: m(x), layer, (x,), (x,), {"params": tangents})


@call
def custom_vjp(lib, module, x):
    def run(m, x):
        return m(x)

    def forward(m, x):
        return lib.vjp(run, m, x)

    def backward(pull_back, cotangent):
        variables, x = pull_back(cotangent)
        return jax.tree.map(jnp.sign, variables), x

    return lib.custom_vjp(run, forward_fn=forward, backward_fn=backward)(lib.Dense(2), x)


@call
def cond(lib, module, x):
    layer = lib.Dense(3)
    return lib.cond(x.sum() > 0, lambda m, x: m(x), lambda m, x: -m(x), layer, x)


@call
def switch(lib, module, x):
    class Model(lib.Module):
        def setup(self):
            self.heads = [lib.Dense(2), lib.Dense(3)]

        def __call__(self, x, index):
            branches = [lambda m, x, i=i: m.heads[i](x).sum() for i in range(2)]
            if self.is_mutable_collection("params"):
                for branch in branches:
                    branch(self, x)
            return lib.switch(index, branches, self, x)

    return Model()(x, 1)


@call
def while_loop(lib, module, x):
    module.variable("state", "count", lambda: jnp.zeros((), jnp.int32))

    def goes_on(m, c):
        return m.get_variable("state", "count") < 3

    def body(m, c):
        m.put_variable("state", "count", m.get_variable("state", "count") + 1)
        return c * 2

    return lib.while_loop(goes_on, body, module, x, carry_variables="state")


@call
def while_loop_with_keys(lib, module, x):
    def body(m, c):
        step, x = c
        return step + 1, x + jax.random.normal(m.make_rng("dropout"), x.shape)

    return lib.while_loop(lambda m, c: c[0] < 3, body, module, (0, x), split_rngs={"dropout": True})


@call
def fold_rngs(lib, module, x):
    return lib.fold_rngs(block(lib))()(x)


@call
def boxes_in_scan(lib, module, x):
    params = {lib.PARTITION_NAME: "layers"}
    looped = lib.scan(
        boxed(lib),
        variable_axes={"params": 1},
        split_rngs={"params": True},
        length=2,
        metadata_params=params,
    )
    return looped()(x, None)


@call
def boxes_in_vmap(lib, module, x):
    params = {lib.PARTITION_NAME: "heads"}
    mapped = lib.vmap(
        boxed(lib),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(None, None),
        axis_size=2,
        metadata_params=params,
    )
    return mapped()(x, None)


@call
def boxes_without_a_name(lib, module, x):
    return lib.scan(
        boxed(lib), variable_axes={"params": 0}, split_rngs={"params": True}, length=2
    )()(x, None)


@call
def add_metadata_axis(lib, module, x):
    named = lib.add_metadata_axis(boxed(lib), {"params": 0}, {lib.PARTITION_NAME: "q"})
    return named()(x, None)


@call
def unmapped_collection(lib, module, x):
    looped = lib.scan(
        block(lib),
        variable_axes={"params": 0},
        variable_broadcast="nothing",
        split_rngs={"params": True, "dropout": True},
        length=3,
    )
    return looped()(x, None)


@call
def no_length(lib, module, x):
    return lib.scan(block(lib), variable_axes={"params": 0})()(x, None)


@call
def different_lengths(lib, module, x):
    return lib.vmap(lib.Dense, variable_axes={"params": 0}, split_rngs={"params": True})(2)(x, x.T)


@call
def returned_module(lib, module, x):
    return lib.remat(lambda m, x: lib.Dense(2))(module, x)


@call
def transformed_number(lib, module, x):
    return lib.remat(3)


@call
def keys_that_are_not_split(lib, module, x):
    class Noise(lib.Module):
        @lib.compact
        def __call__(self, x, _):
            return x + jax.random.normal(self.make_rng("dropout"), x.shape), None

    looped = lib.scan(Noise, split_rngs={"dropout": False}, length=3)
    return looped()(x, None), looped()(x, None)


DIFFERENTIATED = ["custom_vjp", "cond", "map_variables"]


FAILING = {
    "different_lengths",
    "boxes_without_a_name",
    "no_length",
    "transformed_number",
    "grad_of_no_scalar",
    "unmapped_collection",
    "returned_module",
}


@pytest.mark.parametrize("name", list(CALLS))
def test_call_does_the_same(name):
    ours = compare.assert_same_outcome(
        lambda: outcome(nn, CALLS[name]), lambda: outcome(fnn, CALLS[name]), where=name
    )
    assert ours is not None or name in FAILING


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradient_is_the_same(name):
    compare.assert_same_outcome(
        lambda: gradient(nn, CALLS[name]), lambda: gradient(fnn, CALLS[name]), where=name
    )
