"""Equal calls are measured once, unequal calls separately, and nothing is kept afterwards."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import linen_core as nn
from linen_summary import summarize
from linen_summary.costs.meter import Programs

KEY = jax.random.key(0)
X = jnp.ones((2, 4))
FLOPS = {"compute_flops": True, "compute_vjp_flops": True}
EVERYTHING = {**FLOPS, "compute_macs": True, "compute_memory": True}


class Block(nn.Module):
    times: int = 1

    @nn.compact
    def __call__(self, x):
        RUNS.append(isinstance(x, jax.core.Tracer) and not self.is_initializing())
        for _ in range(self.times):
            x = nn.tanh(nn.Dense(4)(x))
        return x


class Stack(nn.Module):
    blocks: tuple

    @nn.compact
    def __call__(self, x):
        for times in self.blocks:
            x = Block(times)(x)
        return x


RUNS = []


def runs(blocks):
    RUNS.clear()
    table = summarize(Stack(blocks), KEY, X, **EVERYTHING)
    assert not any(row.unknown for row in table)
    return sum(RUNS)


def test_the_backward_pass_of_equal_calls_is_traced_once():
    few, many = runs((1, 1)), runs((1,) * 6)
    # each block runs in its own trace and in two traces of the model
    assert (few, many) == (2 * 3 + 1, 6 * 3 + 1)
    assert runs((1, 2, 3)) == 3 * 3 + 3


def test_only_equal_calls_have_equal_numbers():
    table = summarize(Stack((1, 2, 1, 2)), KEY, X, **EVERYTHING)
    rows = [row for row in table if row.module_type == "Block"]
    numbers = [(row.flops, row.vjp_flops, row.macs, row.training_bytes) for row in rows]
    assert numbers[0] == numbers[2] != numbers[1] == numbers[3]
    assert [2 * macs for _, _, macs, _ in numbers[::2]] == [macs for _, _, macs, _ in numbers[1::2]]


ARRAY = np.arange(3.0, dtype=np.float32)


def rule(times):
    function = jax.custom_vjp(jnp.sin)
    function.defvjp(lambda x: (x, None), lambda _, cotangent: (cotangent * times,))
    return function


@pytest.mark.parametrize(
    ("first", "second", "is_equal"),
    [
        (jnp.sin, jnp.sin, True),
        (jnp.sin, jnp.cos, False),
        (lambda x: x * 2.0, lambda x: x * 3.0, False),
        (lambda x: x * 0.0, lambda x: x * -0.0, False),
        (lambda x: x + x[0], lambda x: x[0] + x, False),
        (lambda x: x.sum(keepdims=True), lambda x: x.sum(), False),
        (lambda x: (x, x), lambda x: x, False),
        (lambda x: x + 1, lambda x: x + jnp.float32(1), True),
        (lambda x: x * ARRAY, lambda x: x * ARRAY.copy(), False),
        (jax.jit(jnp.sin), jax.jit(jnp.sin), True),
        (jax.jit(lambda x: x * 2), jax.jit(lambda x: x * 3), False),
        (nn.relu, nn.relu, True),
        (jax.nn.relu, jax.nn.relu, False),  # the rule of its derivative is an unknown function
        (rule(1), rule(1), False),
        (lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),) * 2 + (True,),
        (
            lambda x: lax.scan(lambda c, _: (c * 2, None), x, length=3)[0],
            lambda x: lax.scan(lambda c, _: (c * 2, None), x, length=4)[0],
            False,
        ),
    ],
)
def test_programs(first, second, is_equal):
    programs = Programs()
    traced = [jax.make_jaxpr(lambda x, f=f: f(x))(jnp.ones(3)) for f in (first, second)]
    assert (programs.number(traced[0]) == programs.number(traced[1])) is is_equal
    assert programs.number(traced[0]) == programs.number(traced[0])


def test_programs_with_inputs_of_other_types_differ():
    programs = Programs()
    inputs = [jnp.ones(3), jnp.ones(4), jnp.ones(3, jnp.bfloat16), 1.0, jnp.float32(1)]
    numbers = [programs.number(jax.make_jaxpr(jnp.sin)(x)) for x in inputs]
    assert len(set(numbers)) == len(inputs)


class Held:
    """An object in a field of a user's module."""

    __hash__ = object.__hash__


class Holding(nn.Module):
    held: Held
    array: np.ndarray

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4)(x * self.array)


def references_of_a_run():
    """Build tables of a model under an interceptor, and return weak references to the objects involved."""
    held, closed_over = Held(), Held()
    array = np.ones((2, 4), np.float32)

    def change(next_fun, args, kwargs, context):
        return next_fun(*args, **kwargs) if closed_over is not None else None

    def capture(module, name):
        return closed_over is not None

    with nn.intercept_methods(change):
        module = Holding(held, array)
        table = summarize(module, KEY, X, **EVERYTHING)
        assert "Holding" in module.tabulate(KEY, X, **FLOPS)
        table_of_capture = summarize(module, KEY, X, capture_intermediates=capture, **EVERYTHING)
    parts = (held, closed_over, array, change, capture, module, table, table_of_capture)
    return [weakref.ref(part) for part in parts]


def test_nothing_is_kept_of_a_call():
    references = references_of_a_run()
    gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


@pytest.mark.parametrize("fails", ["forward", "backward"])
def test_nothing_is_kept_of_a_call_that_fails(fails):
    def refuse(x):
        raise RuntimeError("not now")

    class Refusing(nn.Module):
        held: Held

        @nn.compact
        def __call__(self, x):
            if self.is_initializing():
                return x
            if fails == "forward":
                refuse(x)
            function = jax.custom_vjp(jnp.sin)
            function.defvjp(lambda x: (x, None), lambda _, cotangent: refuse(cotangent))
            return function(x)

    held = Held()
    table = summarize(Refusing(held), KEY, X, **FLOPS)
    assert table[0].unknown["vjp_flops"] == "RuntimeError: not now"
    assert ("flops" in table[0].unknown) is (fails == "forward")
    refs = [weakref.ref(held), weakref.ref(table)]
    del held, table
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
