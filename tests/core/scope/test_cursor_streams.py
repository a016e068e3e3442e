"""RNG streams of a scope: paths, counters, fallbacks and errors."""

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linen_core as nn
from linen_core import errors
from linen_core.rng import LazyRng, fold_in_static

KEY = jax.random.key(0)
OTHER = jax.random.key(1)
names = st.sampled_from(["a", "b", "Dense_0"])


def root(**options):
    return nn.Scope({}, **{"rngs": {"params": KEY}, **options})


def drawn(key, *suffix):
    return jax.random.key_data(fold_in_static(key, suffix)).tolist()


def draw(scope, stream="params"):
    return jax.random.key_data(scope.make_rng(stream)).tolist()


def test_counters_continue_in_a_rewound_scope_or_restart():
    scope = root()
    draw(scope)
    assert draw(scope.rewound()) == drawn(KEY, 2)
    assert draw(scope.rewound(rewind_rngs=True)) == drawn(KEY, 1)
    assert draw(scope) == drawn(KEY, 3)


@given(st.lists(names, max_size=3), st.integers(1, 3))
def test_a_key_depends_on_path_and_count(path, count):
    scope = root()
    for name in path:
        scope = scope.push(name)
    keys = [draw(scope) for _ in range(count)]
    assert keys == [drawn(KEY, *path, number) for number in range(1, count + 1)]


@given(st.permutations(["a", "b", "c"]))
def test_keys_of_children_do_not_depend_on_their_order(order):
    top = root()
    draw(top)
    assert {name: draw(top.push(name)) for name in order} == {
        name: drawn(KEY, name, 1) for name in "abc"
    }


def test_a_second_scope_of_a_child_continues_its_counters():
    top = root()
    assert draw(top.push("a")) == drawn(KEY, "a", 1)
    assert draw(top.push("a", reuse=True)) == drawn(KEY, "a", 2)


def test_each_stream_counts_for_itself():
    scope = root(rngs={"params": KEY, "dropout": OTHER})
    assert draw(scope, "dropout") == drawn(OTHER, 1)
    assert draw(scope, "params") == drawn(KEY, 1)
    assert draw(scope, "dropout") == drawn(OTHER, 2)


def test_a_missing_stream_draws_from_params():
    scope = root()
    assert scope.has_rng("params")
    assert not scope.has_rng("dropout")
    assert [draw(scope, "dropout"), draw(scope), draw(scope, "noise")] == [
        drawn(KEY, number) for number in (1, 2, 3)
    ]


def test_a_draw_without_any_key_is_an_error():
    scope = root(rngs={"noise": KEY}).push("a")
    with pytest.raises(errors.InvalidRngError) as caught:
        scope.make_rng("dropout")
    assert str(caught.value) == (
        "Cannot draw a key of stream 'dropout' in /a: found the streams ['noise']. Pass "
        "rngs={'dropout': jax.random.key(...)} to `apply`, `init` or `bind`."
    )


def test_a_stream_may_begin_with_a_suffix():
    scope = root(rngs={"params": LazyRng.create(KEY, "outer")})
    assert draw(scope.push("a")) == drawn(KEY, "outer", "a", 1)


def test_raw_keys_give_raw_keys():
    key = root(rngs={"params": jax.random.PRNGKey(0)}).make_rng("params")
    assert key.dtype == jnp.uint32
    assert key.tolist() == drawn(KEY, 1)


class Draws(nn.Module):
    stream: str = "noise"

    def __call__(self, x):
        return x + jax.random.uniform(self.make_rng(self.stream))


@pytest.mark.parametrize(("stream", "passed"), [("noise", True), ("other", False)])
def test_a_stream_that_a_transform_hides_is_named_with_it(stream, passed):
    model = nn.vmap(Draws)(stream)
    with pytest.raises(errors.MissingRngSplitError) as caught:
        model.apply({}, jnp.ones(2), rngs={"noise": KEY} if passed else {"params": KEY})
    expected = errors.MissingRngSplitError("vmap", stream, caught.value.scope_path, passed=passed)
    assert (str(caught.value), caught.value.passed) == (str(expected), passed)
