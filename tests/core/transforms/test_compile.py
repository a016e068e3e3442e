"""`nn.jit`: traced once for what is equal, anew for what is not, and never to be told from not jitting."""

import gc
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn

X = jnp.ones((2, 4))


class Traces:
    """Counts how often a body is traced; equal to every other."""

    def __init__(self):
        self.count = 0

    def __eq__(self, other):
        return isinstance(other, Traces)

    def __hash__(self):
        return 1


def block(traces):
    class Block(nn.Module):
        features: Any = 4
        scale: float = 1.0

        @nn.compact
        def __call__(self, x):
            traces.count += 1
            h = nn.Dense(self.features)(x) * self.scale
            if self.has_rng("noise"):
                h += jax.random.normal(self.make_rng("noise"), h.shape)
            return h

    return Block


def stack(layer, depth, **fields):
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(depth):
                x = layer(**fields)(x)
            return x

    return Stack()


def test_equal_blocks_are_traced_once():
    traces = Traces()
    model = stack(nn.jit(block(traces)), 12)
    variables = model.init(jax.random.key(0), X)
    traces.count = 0
    model.apply(variables, X)
    model.apply(variables, X)
    assert traces.count == 1


def test_numbers_names_and_keys_are_those_without_jit():
    plain, jitted = block(Traces()), nn.jit(block(Traces()))
    variables = stack(plain, 3).init(jax.random.key(0), X)
    renamed = {"params": {f"Jit{name}": value for name, value in variables["params"].items()}}
    for _ in range(2):
        y = stack(jitted, 3).apply(renamed, X)
        assert (y == stack(plain, 3).apply(variables, X)).all()


def test_keys_differ_from_call_to_call_and_repeat_from_run_to_run():
    model = stack(nn.jit(block(Traces())), 2)
    variables = model.init(jax.random.key(0), X)
    rngs = {"noise": jax.random.key(1)}
    first = model.apply(variables, X, rngs=rngs)
    assert (first == model.apply(variables, X, rngs=rngs)).all()
    assert (first != model.apply(variables, X, rngs={"noise": jax.random.key(2)})).any()


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ({"scale": 1.0}, {"scale": 1.0}, 1),
        ({"scale": 1.0}, {"scale": 2.0}, 2),
        ({"features": 4}, {"features": 5}, 2),
    ],
)
def test_other_fields_are_traced_anew(one, other, count):
    traces = Traces()
    layer = nn.jit(block(traces))
    sides = [(stack(layer, 1, **fields), jax.random.key(0)) for fields in (one, other)]
    variables = [model.init(key, X) for model, key in sides]
    traces.count = 0
    for (model, _), values in zip(sides, variables, strict=True):
        model.apply(values, X)
    assert traces.count == count


class SameHash:
    """Unequal objects with one hash."""

    def __init__(self, size):
        self.size = size

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return self.size == other.size


def test_keys_are_compared_by_equality_not_by_hash():
    class Sized(nn.Module):
        size: Any

        @nn.compact
        def __call__(self, x):
            return x.sum() * self.size.size

    layer = nn.jit(Sized)
    assert layer(SameHash(2)).apply({}, X) == 16
    assert layer(SameHash(3)).apply({}, X) == 24


def test_what_surrounds_the_call_counts():
    layer = nn.jit(nn.Dense)
    model = stack(layer, 1, features=3)
    variables = model.init(jax.random.key(0), X)
    plain = model.apply(variables, X)

    def doubled(next_fun, args, kwargs, context):
        y = next_fun(*args, **kwargs)
        return 2 * y if type(context.module) is nn.Dense else y

    with nn.intercept_methods(doubled):
        assert (model.apply(variables, X) == 2 * plain).all()
    _, captured = model.apply(variables, X, capture_intermediates=True)
    assert "JitDense_0" in captured["intermediates"]
    assert (model.apply(variables, X) == plain).all()


def test_names_go_on_after_a_trace_that_was_spared():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = add_layer(self, x)
            x = add_layer(self, x)
            return nn.Dense(4)(x)

    add_layer = nn.jit(lambda module, x: nn.Dense(4)(x))
    variables = Model().init(jax.random.key(0), X)
    assert sorted(variables["params"]) == ["Dense_0", "Dense_1", "Dense_2"]
    first = Model().apply(variables, X)
    assert (first == Model().apply(variables, X)).all()


def test_mutated_collections_come_out_every_time():
    class Counter(nn.Module):
        @nn.compact
        def __call__(self, x):
            count = self.variable("state", "count", lambda: jnp.zeros(()))
            count.value += 1
            self.sow("intermediates", "x", x)
            return x

    model = nn.jit(Counter)()
    state = model.init(jax.random.key(0), X)
    for expected in (2, 3, 4):
        _, state = model.apply(state, X, mutable=["state", "intermediates"])
        assert state["state"]["count"] == expected
        assert len(state.pop("intermediates")["x"]) == 1


def test_an_unhashable_field_is_named():
    layer = nn.jit(block(Traces()))
    with pytest.raises(ValueError, match="The value at 'features' is unhashable"):
        layer(features=jnp.ones(2)).init(jax.random.key(0), X)


def test_arrays_of_numpy_in_fields_are_told_apart_by_their_values():
    traces = Traces()
    layer = nn.jit(block(traces))

    def run(scale):
        return layer(scale=scale).init_with_output(jax.random.key(0), X)[0]

    expected = run(np.array([1.0, 2.0, 3.0, 4.0], np.float32))
    np.testing.assert_array_equal(run(np.array([1, 2, 3, 4], np.float32)), expected)
    assert traces.count == 1
    np.testing.assert_array_equal(run(np.array([2, 4, 6, 8], np.float32)), 2 * expected)
    np.testing.assert_array_equal(run(np.array([[1, 2, 3, 4]], np.float32)), expected)
    assert traces.count == 3


def test_numbers_that_are_equal_are_not_the_same():
    class Scaled(nn.Module):
        factor: Any

        @nn.compact
        def __call__(self, x):
            return 1 / (x * self.factor), x * self.factor

    jitted, x = nn.jit(Scaled), jnp.arange(1, 4)
    for factor in (1, 1.0, True, 0.0, -0.0, np.float16(1), np.float32(1)):
        ours, expected = jitted(factor).apply({}, x), Scaled(factor).apply({}, x)
        assert [y.dtype for y in ours] == [y.dtype for y in expected]
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("hold", [lambda n: {n}, lambda n: {n: "key"}, lambda n: (n,)])
def test_numbers_in_containers_are_told_apart(hold):
    class Scaled(nn.Module):
        factors: Any

        @nn.compact
        def __call__(self, x):
            return x * next(iter(self.factors))

    jitted, x = nn.jit(Scaled), jnp.arange(1, 4)
    for factor in (1, 1.0, np.float16(1)):
        expected = Scaled(hold(factor)).apply({}, x)
        assert jitted(hold(factor)).apply({}, x).dtype == expected.dtype


def test_masked_arrays_are_not_told_apart_by_their_bytes():
    with pytest.raises(ValueError, match="The value at 'scale' is unhashable"):
        nn.jit(block(Traces()))(scale=np.ma.array([1.0], mask=[True])).init(jax.random.key(0), X)


def test_the_module_is_not_kept_alive():
    class Held(nn.Module):
        @nn.compact
        def __call__(self, x):
            held.append(weakref.ref(self))
            return x

    held = []
    nn.jit(Held)().apply({}, X)
    gc.collect()
    assert all(reference() is None for reference in held)


def test_a_method_of_a_module_without_variables():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(x)

        @nn.jit
        def init(self, *args):
            return super().init(*args)

        @nn.jit
        def doubled(self, x):
            return 2 * x

    plain = nn.Dense(3).init(jax.random.key(0), X)["params"]
    made = Model().init(jax.random.key(0), X)["params"]
    assert jax.tree.map(jnp.shape, made) == {"Dense_0": jax.tree.map(jnp.shape, plain)}
    assert (Model().doubled(X) == 2 * X).all()
