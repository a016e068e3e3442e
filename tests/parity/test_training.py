"""Helpers of training loops do what those of flax.training do."""

import itertools
import threading

import flax.training.dynamic_scale
import flax.training.early_stopping
import flax.training.lr_schedule
import flax.training.prefetch_iterator
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linen_core.training import dynamic_scale, early_stopping, lr_schedule, prefetch_iterator
from parity._compare import assert_same_tree, parity_settings

ITERATORS = pytest.mark.parametrize(
    "module", [prefetch_iterator, flax.training.prefetch_iterator], ids=["linen", "flax"]
)


@parity_settings()
@hypothesis.given(
    metrics=st.lists(st.sampled_from([3.0, 2.0, 1.95, 1.0, 0.0, 5.0]), max_size=12),
    min_delta=st.sampled_from([0, 0.1, 1]),
    patience=st.integers(0, 3),
    reset=st.integers(0, 12),
)
def test_early_stopping(metrics, min_delta, patience, reset):
    ours = early_stopping.EarlyStopping(min_delta=min_delta, patience=patience)
    theirs = flax.training.early_stopping.EarlyStopping(min_delta=min_delta, patience=patience)
    for index, metric in enumerate(metrics):
        if index == reset:
            ours, theirs = ours.reset(), theirs.reset()
        ours, theirs = ours.update(metric), theirs.update(metric)
        assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("has_aux", [False, True])
@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("minimum", [None, 1.0, "default"])
def test_dynamic_scale(has_aux, jitted, minimum):
    def loss(p, x):
        value = (jnp.asarray(p["w"], jnp.float16) * x).sum() ** 2
        return (value, {"aux": p["w"]}) if has_aux else value

    options = {} if minimum == "default" else {"minimum_scale": minimum}
    scales = [
        module.DynamicScale(growth_interval=3, scale=4.0, **options)
        for module in (dynamic_scale, flax.training.dynamic_scale)
    ]
    run = lambda scale, p, x: scale.value_and_grad(loss, has_aux=has_aux)(p, x)
    run = jax.jit(run) if jitted else run
    params = {"w": jnp.arange(3.0)}
    for step in range(14):
        x = jnp.float16([1.0, 1.0, 1e4][step % 3] if step > 7 else 0.5)
        ours, theirs = (run(scale, params, x) for scale in scales)
        assert_same_tree(tuple(ours)[1:], tuple(theirs)[1:])
        scales = [ours.dynamic_scale, theirs.dynamic_scale]
        assert_same_tree(*(jax.tree.leaves(scale) for scale in scales))
        assert repr(scales[0]) == repr(scales[1])


def test_dynamic_scale_averages_gradients_over_an_axis():
    out = []
    for module in (dynamic_scale, flax.training.dynamic_scale):
        scale = module.DynamicScale()
        run = lambda x, scale=scale: tuple(
            scale.value_and_grad(lambda p: (p * x) ** 2, axis_name="i")(jnp.float32(2))
        )[1:]
        out.append(jax.vmap(run, axis_name="i")(jnp.arange(4.0)))
    assert_same_tree(*out)


SCHEDULES = {
    "create_constant_learning_rate_schedule": [],
    "create_stepped_learning_rate_schedule": [[[2, 0.1], [4.5, 0.01]]],
    "create_cosine_learning_rate_schedule": [6],
}


@pytest.mark.parametrize("warmup", [0.0, 1.5])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name, warmup):
    ours, theirs = (
        getattr(module, name)(0.3, 10, *SCHEDULES[name], warmup_length=warmup)
        for module in (lr_schedule, flax.training.lr_schedule)
    )
    for step in range(0, 70, 3):
        assert_same_tree(jnp.asarray(ours(step)), jnp.asarray(theirs(step)))
    steps = jnp.arange(5)
    assert_same_tree(jax.jit(jax.vmap(ours))(steps), jax.jit(jax.vmap(theirs))(steps))


@ITERATORS
@pytest.mark.filterwarnings("ignore:PrefetchIterator is deprecated")
def test_prefetch_iterator(module):
    assert list(module.PrefetchIterator(iter(range(5)))) == list(range(5))
    assert list(module.PrefetchIterator(iter([]), buffer_size=3)) == []


@ITERATORS
def test_prefetch_iterator_is_deprecated(module):
    with pytest.warns(DeprecationWarning, match="PrefetchIterator is deprecated"):
        module.PrefetchIterator(iter([]))


@pytest.mark.filterwarnings("ignore:PrefetchIterator is deprecated")
def test_prefetch_iterator_raises_after_the_items_before():
    def items():
        yield 1
        yield 2
        raise KeyError("third")

    iterator = prefetch_iterator.PrefetchIterator(items())
    assert [next(iterator), next(iterator)] == [1, 2]
    for _ in range(2):  # and again: an iterator that failed does not wait
        with pytest.raises(KeyError, match="third"):
            next(iterator)


@pytest.mark.filterwarnings("ignore:PrefetchIterator is deprecated")
@pytest.mark.parametrize("buffer_size", [1, 3])
def test_prefetch_iterator_runs_ahead_by_its_buffer(buffer_size):
    computed = np.zeros(20, bool)
    reached = threading.Semaphore(0)

    def items():
        for i in range(20):
            computed[i] = True
            reached.release()
            yield i

    iterator = prefetch_iterator.PrefetchIterator(items(), buffer_size)
    for _ in range(buffer_size):
        assert reached.acquire(timeout=60)
    assert not reached.acquire(timeout=0.05)
    assert next(iterator) == 0
    assert reached.acquire(timeout=60)
    assert computed.sum() == buffer_size + 1


@ITERATORS
@pytest.mark.filterwarnings("ignore:PrefetchIterator is deprecated")
def test_a_closed_prefetch_iterator_ends(module):
    iterator = module.PrefetchIterator(itertools.count())
    assert next(iterator) == 0
    iterator.close()
    rest = list(itertools.islice(iterator, 10))
    assert rest in ([], [1])
