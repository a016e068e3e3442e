"""Threads, tasks and exceptions: nothing of a call leaks into another."""

import asyncio
import concurrent.futures
import os
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core._context import Context, context_var


class Model(nn.Module):
    features: int

    def setup(self):
        self.layers = [nn.Dense(self.features), nn.Dense(2)]

    @nn.compact
    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        self.sow("intermediates", "x", x)
        return nn.Dense(1)(x)


SHARED = Model(3)
X = jnp.ones((1, 2))
KEY = jax.random.key(0)


def work(index):
    module = SHARED if index % 2 else Model(2 + index % 3)
    variables = module.init(jax.random.key(index % 5), X)
    y, state = module.apply(variables, X, mutable=["intermediates"])
    bound = module.bind(variables)
    names = sorted(variables["params"])
    return names, np.asarray(y), np.asarray(bound(X)), jax.tree.map(np.asarray, state)


def test_threads_give_what_one_thread_gives():
    expected = {index: work(index) for index in range(30)}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for index, result in zip(
            [i % 30 for i in range(300)], pool.map(work, [i % 30 for i in range(300)]), strict=True
        ):
            names, y, bound_y, state = expected[index]
            assert result[0] == names
            np.testing.assert_array_equal(result[1], y)
            np.testing.assert_array_equal(result[2], bound_y)
            jax.tree.map(np.testing.assert_array_equal, result[3], state)


def as_float(key, number):
    return np.float32(number)


class Part(nn.Module):
    number: int

    @nn.compact
    def __call__(self, x):
        count = self.variable("state", "count", lambda: self.number)
        scale = self.param("scale", as_float, self.number)
        count.value += 1
        return x * scale + count.value


class Whole(nn.Module):
    numbers: tuple

    def setup(self):
        self.parts = [Part(number) for number in self.numbers]

    @nn.compact
    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return Part(1)(x)


RUNS = 5000 if int(os.environ.get("LINEN_EXAMPLES", "0")) > 60 else 1000


def test_thousands_of_runs_in_two_threads():
    """Initialising, applying and binding the same module and others, without a FLOP of JAX."""
    modules = [Whole((1, 2)), Whole((3,)), Whole(())]

    def run(module):
        variables = module.init(KEY, np.float32(1))
        y, state = module.apply(variables, np.float32(2), mutable=["state"])
        bound = module.bind({**variables, **state}, mutable=["state"])
        return variables, y, state, bound(np.float32(3)), bound.variables

    expected = [run(module) for module in modules]

    def run_many(start):
        for number in range(start, start + RUNS):
            index = number % 3
            if run(modules[index]) != expected[index] or context_var.get() != Context():
                return number
        return None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run_many, [0, 1])) == [None, None]


class Raises(nn.Module):
    @nn.compact
    def __call__(self, x):
        nn.Dense(2)(x)
        msg = "mine"
        raise KeyError(msg)


def test_an_exception_leaves_no_context_behind():
    def interceptor(next_fun, args, kwargs, context):
        return next_fun(*args, **kwargs)

    for wrapped in (Raises, nn.remat(Raises), nn.jit(Raises)):
        with pytest.raises(KeyError, match="mine"), nn.intercept_methods(interceptor):
            wrapped().init(jax.random.key(0), X)
        assert context_var.get() == Context()
    assert nn.Dense(2).parent is None


def test_an_exception_in_an_interceptor_leaves_no_context_behind():
    def interceptor(next_fun, args, kwargs, context):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), nn.intercept_methods(interceptor):
        Model(2).init(jax.random.key(0), X)
    assert context_var.get() == Context()


def test_tasks_do_not_see_each_others_interceptors():
    async def counted(times):
        seen = []

        def interceptor(next_fun, args, kwargs, context):
            seen.append(context.method_name)
            return next_fun(*args, **kwargs)

        with nn.intercept_methods(interceptor):
            for _ in range(times):
                await asyncio.sleep(0)
                nn.Dense(2).init(jax.random.key(0), X)
        return len(seen)

    async def both():
        return await asyncio.gather(counted(2), counted(3))

    assert asyncio.run(both()) == [2, 3]


def test_a_traceback_shows_the_users_frames_alone():
    with pytest.raises(KeyError) as caught:
        Raises().init(jax.random.key(0), X)
    frames = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == [__file__, __file__]


def test_all_frames_show_when_asked_for():
    nn.traceback_util.show_linen_in_tracebacks()
    try:
        with pytest.raises(KeyError) as caught:
            Raises().init(jax.random.key(0), X)
    finally:
        nn.traceback_util.hide_linen_in_tracebacks()
    frames = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert any("linen_core" in frame for frame in frames)


def test_named_scopes_show_in_the_compiled_program():
    model, variables = Model(3), Model(3).init(jax.random.key(0), X)
    text = jax.jit(model.apply).lower(variables, X).as_text(debug_info=True)
    assert "Model/layers_0" in text
    assert "Model/Dense_0" in text
    with nn.override_named_call(enable=False):
        plain = (
            jax.jit(lambda v, x: model.apply(v, x) + 0).lower(variables, X).as_text(debug_info=True)
        )
    assert "Model/layers_0" not in plain
