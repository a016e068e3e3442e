"""The cache of a store's values."""

import jax
import jax.numpy as jnp

from linen_store.reading.cache import ValueCache


def test_least_recently_used_values_are_dropped_first():
    cache = ValueCache(limit=3)
    for key in "abc":
        cache.keep(key, key.upper(), 1)
    assert cache.recall("a") == "A"
    cache.keep("d", "D", 1)
    assert [key in cache for key in "abcd"] == [True, False, True, True]


def test_a_value_above_the_limit_is_not_kept():
    cache = ValueCache(limit=3)
    cache.keep("a", "A", 1)
    cache.keep("b", "B", 4)
    assert "a" in cache
    assert "b" not in cache


def test_values_without_size_are_kept_without_a_limit():
    cache = ValueCache(limit=0)
    cache.keep("a", None, 0)
    assert "a" in cache


def test_a_donated_array_frees_its_place():
    cache = ValueCache(limit=8)
    array = jnp.ones(2)
    cache.keep("a", array, 8)
    array.delete()
    assert "a" not in cache
    cache.keep("b", jnp.ones(2), 8)
    assert "b" in cache


def test_tracers_are_not_kept():
    cache = ValueCache(limit=8)
    jax.jit(lambda x: cache.keep("a", x, 1))(1.0)
    assert "a" not in cache


def test_clear():
    cache = ValueCache(limit=2)
    cache.keep("a", "A", 2)
    cache.clear()
    assert "a" not in cache
    cache.keep("b", "B", 2)
    assert "b" in cache
