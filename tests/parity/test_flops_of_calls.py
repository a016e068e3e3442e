"""Calls that look equal but differ have the FLOPs that flax counts for each of them."""

import functools

import flax.linen.summary as flax_summary
import jax
import jax.numpy as jnp
import pytest
from flax import linen
from jax import lax

import linen_core as nn
from linen_summary.table.summarize import table_of_call
from parity._programs import collect

RNGS = {name: jax.random.key(i) for i, name in enumerate(("params", "dropout"))}
X = jnp.ones((3, 4))
MODELS = {}
model = collect(MODELS)


def our_numbers(module, *args):
    options = {"depth": None, "show_repeated": True, "every_iteration": False}
    table = table_of_call(module, RNGS, args, {}, measures=("flops", "vjp_flops"), **options)
    assert not any(row.unknown for row in table)
    return [(row.path, row.flops, row.vjp_flops) for row in table]


def flax_numbers(module, *args):
    make = flax_summary._get_module_table(module, None, True, True, True)
    return [(row.path, row.flops, row.vjp_flops) for row in make(RNGS, *args)]


def module_of(lib, body):
    """Return a class with a field, whose instances call ``body(self, x)``."""

    class Body(lib.Module):
        what: object = None

        @lib.compact
        def __call__(self, x):
            return body(self, x)

    return Body


def in_turn(lib, *modules):
    """Return a model that constructs modules and calls them one after the other."""

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            for make in modules:
                x = make()(x)
            return x

    return Model()


def more(x, times):
    for _ in range(times):
        x = jnp.sin(x) * 2.5
    return x


@model
def fields_that_differ_deep(lib):
    part = module_of(lib, lambda m, x: more(lib.Dense(4)(x), m.what[0]["a"].args[0][1]))
    deep = lambda n: ({"a": functools.partial(more, (0, n))},)
    return in_turn(lib, *(functools.partial(part, deep(n)) for n in (1, 3, 1, 2)))


@model
def closures(lib):
    def times(number):
        return lambda x: more(x, number)

    part = module_of(lib, lambda m, x: m.what(lib.Dense(4)(x)))
    return in_turn(lib, *(functools.partial(part, times(n)) for n in (1, 3, 1)))


@model
def classes_of_one_name(lib):
    parts = [module_of(lib, functools.partial(lambda n, m, x: more(x, n), n)) for n in (1, 2, 1)]
    return in_turn(lib, *parts)


@model
def bound_modules(lib):
    """The fields are modules of the outer model, whose own fields differ."""
    inner = module_of(lib, lambda m, x: more(x, m.what["times"]))
    part = module_of(lib, lambda m, x: lib.Dense(4)(m.what(x)))

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            parts = [inner({"times": n}) for n in (1, 3)]
            return part(parts[0])(x) + part(parts[1])(x) + part(parts[0])(x)

    return Model()


@model
def counters_in_fields(lib):
    class Counter:
        def __init__(self, start):
            self.count = start

        def __eq__(self, other):
            return isinstance(other, Counter)

        __hash__ = None

    part = module_of(lib, lambda m, x: more(x, m.what.count))
    return in_turn(lib, *(functools.partial(part, Counter(n)) for n in (1, 2, 3)))


@model
def names(lib):
    return in_turn(lib, *[module_of(lib, lambda m, x: more(x, 3 if m.name == "Body_1" else 1))] * 3)


@model
def names_without_the_attribute(lib):
    read = lambda m: m.__dict__["name"]
    return in_turn(lib, *[module_of(lib, lambda m, x: more(x, 3 if read(m)[-1] == "1" else 1))] * 3)


@model
def fields_of_arrays(lib):
    part = module_of(lib, lambda m, x: x * m.what)
    zero, one = jnp.zeros((3, 4)), jnp.arange(12.0).reshape(3, 4)
    return in_turn(lib, *(functools.partial(part, array) for array in (zero, one, zero)))


@model
def zeros_of_both_signs(lib):
    part = module_of(lib, lambda m, x: x + m.what)
    return in_turn(lib, *(functools.partial(part, zero) for zero in (0.0, -0.0, 1.0)))


@model
def rules_for_derivatives(lib):
    """The calls differ only in a rule for derivatives, which is a function in the trace."""

    def scaled(times):
        @jax.custom_vjp
        def function(x):
            return x * 2.0

        rule = lambda _, cotangent: (more(cotangent, times),)
        function.defvjp(lambda x: (x * 2.0, None), rule)
        return function

    part = module_of(lib, lambda m, x: m.what(lib.Dense(4)(x)))
    return in_turn(lib, *(functools.partial(part, scaled(n)) for n in (1, 4, 1)))


@model
def rules_for_tangents(lib):
    def scaled(times):
        @jax.custom_jvp
        def function(x):
            return x * 2.0

        @function.defjvp
        def rule(primals, tangents):
            return primals[0] * 2.0, tangents[0] * times * times if times > 1 else tangents[0]

        return function

    part = module_of(lib, lambda m, x: m.what(lib.Dense(4)(x)))
    return in_turn(lib, *(functools.partial(part, scaled(n)) for n in (1, 4, 1)))


@model
def stopped_inputs(lib):
    part = module_of(lib, lambda m, x: lib.Dense(4)(lax.stop_gradient(x) if m.what else x))
    return in_turn(lib, *(functools.partial(part, stop) for stop in (True, False, True)))


@model
def dtypes(lib):
    part = module_of(lib, lambda m, x: lib.Dense(4, dtype=m.what)(x))
    kinds = (jnp.float32, jnp.bfloat16, None, jnp.float16)
    return in_turn(lib, *(functools.partial(part, kind) for kind in kinds))


@model
def streams_and_state(lib):
    """Equal modules, with more variables from call to call."""
    dropout = lambda: lib.Dropout(0.5, deterministic=False)

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            norm = lib.BatchNorm(use_running_average=False)
            for _ in range(2):
                x = dropout()(norm(lib.Dense(4)(x)))
            return norm(x)

    return Model()


@model
def methods_of_one_module(lib):
    class Tied(lib.Module):
        def setup(self):
            self.embed = lib.Embed(4, 4)

        def __call__(self, x):
            return self.attend(x)

        def attend(self, x):
            return lib.tanh(self.embed.attend(x))

    class Model(lib.Module):
        def setup(self):
            self.first = Tied()
            self.second = Tied()

        def __call__(self, x):
            return self.second(self.first(x)) + self.first.attend(x)

    return Model()


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_flax(name):
    assert our_numbers(MODELS[name](nn), X) == flax_numbers(MODELS[name](linen), X)


def in_turn_of_dense(lib):
    return in_turn(lib, *[functools.partial(lib.Dense, 4)] * 3)


@pytest.mark.parametrize("ending", ["1", "2"])
def test_interceptors(ending):
    def numbers(lib, find):
        def change(next_fun, args, kwargs, context):
            made = next_fun(*args, **kwargs)
            is_changed = context.method_name == "__call__" and context.module.name
            return more(made, 2) if is_changed and is_changed.endswith(ending) else made

        with lib.intercept_methods(change):
            return find(in_turn_of_dense(lib), X)

    found = numbers(nn, our_numbers)
    assert found == numbers(linen, flax_numbers)
    assert len({flops for path, flops, _ in found if path}) == 2
