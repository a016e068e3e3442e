"""The remembered shapes of initializers: never stale, never holding arrays."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core.scope import initializers

SIZE = 3


class Model(nn.Module):
    init_fn: object
    args: tuple = ()

    @nn.compact
    def __call__(self):
        return self.param("w", self.init_fn, *self.args)


def accepts(init_fn, size, *args):
    """Whether a parameter of this size passes the check of a module with this initializer."""
    try:
        Model(init_fn, args).apply({"params": {"w": jnp.zeros(size)}})
    except nn.errors.ScopeParamShapeError:
        return False
    return True


class CallableWithState:
    size = 3

    def __call__(self, key):
        return jnp.zeros(self.size)


def test_callable_with_state_is_asked_anew():
    init_fn = CallableWithState()
    assert accepts(init_fn, 3)
    init_fn.size = 4
    assert not accepts(init_fn, 3)
    assert accepts(init_fn, 4)


def test_closure_over_a_list_is_asked_anew():
    sizes = [3]

    def init_fn(key):
        return jnp.zeros(sizes)

    assert accepts(init_fn, 3)
    sizes[0] = 4
    assert not accepts(init_fn, 3)


def test_rebound_closure_is_asked_anew():
    size = 3

    def init_fn(key):
        return jnp.zeros(size)

    assert accepts(init_fn, 3)
    size = 4
    assert not accepts(init_fn, 3)


def test_changed_global_is_asked_anew(monkeypatch):
    def init_fn(key):
        return jnp.zeros(SIZE)

    assert accepts(init_fn, 3)
    monkeypatch.setitem(init_fn.__globals__, "SIZE", 4)
    assert not accepts(init_fn, 3)


def test_changed_default_is_asked_anew():
    def init_fn(key, size=3):
        return jnp.zeros(size)

    assert accepts(init_fn, 3)
    init_fn.__defaults__ = (4,)
    assert not accepts(init_fn, 3)


def test_counting_initializer_is_asked_anew():
    count = 0

    def init_fn(key):
        nonlocal count
        count += 1
        return jnp.zeros(2 + count)

    assert accepts(init_fn, 3)
    assert not accepts(init_fn, 3)


def test_numpy_draws_are_asked_anew():
    def init_fn(key):
        return jnp.zeros(np.random.randint(5, 6))  # noqa: NPY002

    assert accepts(init_fn, 5)
    assert all(key[0] is not init_fn for key in initializers._shapes)


def helper():
    return 3


def test_changed_helper_is_asked_anew(monkeypatch):
    def init_fn(key):
        return jnp.zeros(helper())

    assert accepts(init_fn, 3)
    monkeypatch.setitem(init_fn.__globals__, "helper", lambda: 4)
    assert not accepts(init_fn, 3)


@pytest.mark.parametrize(
    "init_fn",
    [
        jax.nn.initializers.zeros,
        jax.nn.initializers.normal(0.1),
        nn.initializers.ones,
        nn.initializers.lecun_normal(),
        functools.partial(jax.nn.initializers.zeros, dtype=jnp.float32),
        jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal"),
        nn.with_partitioning(nn.initializers.zeros, (None, "a")),
        nn.with_partitioning(jax.nn.initializers.normal(0.1), (None, "a")),
        nn.with_logical_partitioning(nn.initializers.lecun_normal(), (None, "a")),
    ],
)
def test_initializers_of_jax_and_linen_are_evaluated_once(init_fn, monkeypatch):
    calls = []
    evaluate = initializers._evaluate
    monkeypatch.setattr(initializers, "_evaluate", lambda *args: calls.append(1) or evaluate(*args))
    shape = (5, 7)
    initializers.expected_shapes(init_fn, (shape,), {})
    before = len(calls)
    assert initializers.expected_shapes(init_fn, (shape,), {}) == (shape,)
    assert len(calls) == before
    assert initializers.expected_shapes(init_fn, ((5, 8),), {}) == ((5, 8),)


@pytest.mark.parametrize(
    "wrap", [lambda init: init, lambda init: nn.with_partitioning(init, ("a",))]
)
def test_an_initializer_made_anew_with_equal_parts_is_evaluated_once(wrap, monkeypatch):
    calls = []
    evaluate = initializers._evaluate
    monkeypatch.setattr(initializers, "_evaluate", lambda *args: calls.append(1) or evaluate(*args))
    for _ in range(3):
        initializers.expected_shapes(wrap(jax.nn.initializers.normal(0.125)), ((4321,),), {})
    assert len(calls) == 1
    initializers.expected_shapes(wrap(jax.nn.initializers.normal(0.25)), ((4321,),), {})
    assert len(calls) == 2


def test_different_lambdas_of_one_line_are_kept_apart():
    first, second = (lambda key: jnp.zeros(3)), (lambda key: jnp.zeros(4))
    assert accepts(first, 3)
    assert not accepts(second, 3)


def test_trees_of_shapes_are_compared_leaf_by_leaf():
    def init_fn(key):
        return {"a": jnp.zeros(2), "b": (jnp.zeros((3, 1)), 1.0)}

    assert initializers.expected_shapes(init_fn, (), {}) == ((2,), (3, 1), ())


def remember_shapes_of_an_array():
    array = jnp.ones(3)

    def init_fn(key, like):
        return jnp.zeros_like(like) + array

    initializers.expected_shapes(init_fn, (array,), {})
    jax.jit(lambda x: initializers.expected_shapes(init_fn, (x,), {}) and x)(array)
    return weakref.ref(array)


def test_no_array_and_no_tracer_is_kept_alive():
    alive = remember_shapes_of_an_array()
    gc.collect()
    assert alive() is None


def test_tables_are_bounded(monkeypatch):
    monkeypatch.setattr(initializers, "_MAX_ENTRIES", 10)
    for size in range(1, 40):
        initializers.expected_shapes(jax.nn.initializers.zeros, ((size,),), {})
    assert len(initializers._shapes) <= 11


def test_functions_that_refer_to_each_other_do_not_hang():
    def first(key):
        return jnp.zeros(3) if key is not None else second(key)

    def second(key):
        return first(key)

    assert initializers.expected_shapes(first, (), {}) == ((3,),)
