"""Fingerprints are equal only for values that behave alike, and keep nothing alive."""

import dataclasses
import enum
import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

import linen_core as nn
from linen_core.fingerprint import NoFingerprintError, fingerprint


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Config:
    width: int
    act: object = None


class Plain:
    """An object that nothing is known of."""

    def method(self):
        return self


class Liar(Plain):
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class Unhashable:
    __hash__ = None


PLAIN, LIAR = Plain(), Liar()

EQUAL = {
    "numbers": (lambda: [1, 1.5, True, 2j, -0.0, "a", b"a", None, ...]),
    "arrays": (lambda: np.arange(3.0)),
    "scalars": (lambda: np.float32(0.5)),
    "dtypes": (lambda: (np.dtype("float32"), jnp.bfloat16, jnp.float32)),
    "containers": (lambda: {"a": (1, [2, {"b": {3}}])}),
    "dataclasses": (lambda: Config(3, Config(4))),
    "enums": (lambda: Color.RED),
    "partials": (lambda: functools.partial(max, 1, key=abs)),
    "methods": (lambda: PLAIN.method),
    "objects": (lambda: (PLAIN, LIAR, len, jax.nn.relu, jnp.sin)),
    "shardings": (lambda: PartitionSpec("data", None)),
    "initializers": (lambda: (nn.initializers.normal(0.1), jax.nn.initializers.normal(0.1))),
    "boxed initializers": (lambda: nn.with_partitioning(nn.initializers.ones, ("a", None))),
    "modules": (lambda: nn.Dense(3, kernel_init=nn.initializers.normal(0.1))),
    "filters": (lambda: nn.DenyList(("a", "b"))),
}


@pytest.mark.parametrize("name", EQUAL)
def test_equal_values_have_equal_fingerprints(name):
    first, second = fingerprint(EQUAL[name]()), fingerprint(EQUAL[name]())
    assert first == second
    assert hash(first) == hash(second)


DIFFERENT = [
    (1, True),
    (1, 1.0),
    (0.0, -0.0),
    ((1, 2), [1, 2]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),  # the order of a dict can be seen
    (np.zeros(2), np.zeros(2, np.float32)),
    (np.zeros(2), np.zeros((2, 1))),
    (np.array([0.0]), np.array([-0.0])),
    (np.float32(1), 1.0),
    (Config(3), Config(4)),
    (Config(3, Config(4)), Config(3, Config(5))),
    (Color.RED, Color.BLUE),
    (Color.RED, 1),
    (functools.partial(max, 1), functools.partial(max, 2)),
    (Plain(), Plain()),
    (Liar(), Liar()),
    (Plain().method, Plain().method),
    ((lambda: 1), (lambda: 1)),
    (nn.Dense(3), nn.Dense(4)),
    (nn.Dense(3), nn.DenseGeneral(3)),
    (nn.initializers.normal(0.1), nn.initializers.normal(0.2)),
    (jax.nn.initializers.normal(0.1), jax.nn.initializers.normal(0.2)),
    (nn.Sequential([nn.Dense(3)]), nn.Sequential([nn.Dense(3, use_bias=False)])),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_values_that_differ_have_other_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_a_module_that_is_shared_differs_from_two_equal_ones():
    shared = nn.Dense(3)
    assert fingerprint([shared, shared]) != fingerprint([nn.Dense(3), nn.Dense(3)])
    other = nn.Dense(3)
    assert fingerprint([shared, shared]) == fingerprint([other, other])


def test_name_and_parent_of_a_module_do_not_count():
    assert fingerprint(nn.Dense(3, name="a")) == fingerprint(nn.Dense(3, name="b"))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (jnp.ones(2), ()),
        ({"a": [0, jnp.ones(2)]}, ("a", "1")),
        (functools.partial(jnp.add, jnp.ones(2)), ("args", "0")),
        (Config(Unhashable()), ("width",)),
        (nn.Dense(3, kernel_init=functools.partial(jnp.full, fill_value=jnp.ones(()))),
         ("kernel_init", "keywords", "fill_value")),
        (np.ma.masked_array([1, 2], [True, False]), ()),
        (np.array([Plain()], object), ()),
    ],
)  # fmt: skip
def test_a_value_that_may_change_has_none(value, path):
    with pytest.raises(NoFingerprintError) as caught:
        fingerprint(value)
    assert caught.value.path == path
    assert "unhashable type" in caught.value.reason


def test_a_tracer_has_none():
    with pytest.raises(NoFingerprintError):
        jax.jit(lambda x: fingerprint({"x": x}))(1.0)


def test_objects_are_not_kept_alive_and_dead_ones_equal_nothing():
    value = Plain()
    first, again, reference = fingerprint(value), fingerprint(value), weakref.ref(value)
    assert first == again
    del value
    gc.collect()
    assert reference() is None
    assert first == first  # noqa: PLR0124 - a cache finds its own key
    assert first != again
    assert all(fingerprint(Plain()) != first for _ in range(50))  # though ids are used again


def test_classes_are_not_kept_alive():
    class Layer(nn.Module):
        pass

    kept = fingerprint([Layer, Layer()])
    reference = weakref.ref(Layer)
    del Layer
    gc.collect()
    assert reference() is None
    assert hash(kept) is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, "a", b"a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(one=VALUES, other=VALUES)
def test_drawn_values_are_told_apart_as_their_representations_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (repr(one) == repr(other))
