"""Host arrays become jax or numpy arrays, as their specs say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from linen_store.reading.device import is_put_on_device, place, sharded_array, value_spec
from linen_store.reading.specs import array_spec
from linen_store.reading.tree import Leaf

SHARDING = jax.sharding.SingleDeviceSharding(jax.devices()[0])


@pytest.mark.parametrize(
    ("kind", "dtype", "sharding", "expected"),
    [
        ("array", np.float32, None, True),
        ("array", np.float64, None, False),
        ("numpy", np.float32, None, False),
        ("numpy", np.float32, SHARDING, True),
    ],
)
def test_is_put_on_device(kind, dtype, sharding, expected):
    assert is_put_on_device(kind, array_spec((2,), dtype, sharding)) is expected


@pytest.mark.parametrize("sharding", [None, SHARDING])
def test_place_casts_and_keeps_the_order(sharding):
    arrays = [np.arange(4, dtype=np.float32), np.ones((2, 0), np.float32)]
    specs = [array_spec(array.shape, jnp.bfloat16, sharding) for array in arrays]
    leaves = [Leaf(("a",)), Leaf(("b",))]
    first, second = place(list(zip(arrays, leaves, specs, strict=True)))
    assert isinstance(first, jax.Array)
    assert first.dtype == jnp.bfloat16
    assert first.tolist() == [0, 1, 2, 3]
    assert second.shape == (2, 0)


def test_numpy_arrays_are_read_only_copies():
    array = np.arange(3)
    (placed,) = place([(array, Leaf(("a",), "numpy"), array_spec((3,), np.int64))])
    assert not placed.flags.writeable
    assert not np.shares_memory(placed, array)


def test_each_region_is_read_once():
    read = []

    def region(bounds):
        read.append(bounds)
        return np.ones([stop - start for start, stop in bounds], np.float32)

    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), "x")
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    array = sharded_array(array_spec((2, 3), np.float32, whole), region)
    assert array.shape == (2, 3)
    assert read == [((0, 2), (0, 3))]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.zeros((2, 3), np.int8), array_spec((2, 3), np.int8)),
        (True, array_spec((), np.bool_)),
        (2.5, array_spec((), np.float64)),
        ("text", "text"),
        (None, None),
    ],
)
def test_value_spec(value, expected):
    assert value_spec(value) == expected
