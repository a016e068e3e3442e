"""Arrays drawn by block programs: few compilations, any part, any placement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from core._last_bits import assert_same_draw
from core._long_runs import IS_LONG
from linen_core.deferred import drawing
from linen_core.deferred.elementwise import elementwise_program
from linen_core.deferred.trace import DeferredTrace

KEY = jax.random.key(3)


def recorded(initializer, shape, dtype=jnp.float32, key=KEY):
    trace = DeferredTrace()
    with trace.recorded() as recording:
        result = initializer(jax.random.fold_in(key, 7), shape, dtype)
    return elementwise_program(result.variable, recording.producers(), recording.values)


INITIALIZERS = {
    "lecun_normal": nn.initializers.lecun_normal(),
    "he_uniform": nn.initializers.he_uniform(),
    "normal": nn.initializers.normal(0.02),
    "uniform": nn.initializers.uniform(0.5),
    "of_jax": jax.nn.initializers.glorot_normal(),
    "zeros": nn.initializers.zeros,
    "constant": nn.initializers.constant(0.3),
    "of_a_user": lambda key, shape, dtype: 1 - jax.random.uniform(key, shape, dtype) * 3,
}


CASES = [(name, dtype) for name in INITIALIZERS for dtype in ("float32", "bfloat16", "float16")]


# The usual run has each initializer and each dtype among its cases.
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (130, 140)])
@pytest.mark.parametrize(("name", "dtype"), CASES if IS_LONG else CASES[::2])
def test_an_array_has_the_bits_of_its_initializer(name, shape, dtype):
    initializer, dtype = INITIALIZERS[name], jnp.dtype(dtype)
    array = drawing.EagerDrawing().draw(recorded(initializer, shape, dtype), None)
    expected = initializer(jax.random.fold_in(KEY, 7), shape, dtype)
    assert (array.dtype, array.shape, array.weak_type) == (dtype, shape, False)
    assert_same_draw(array, expected)


@pytest.mark.parametrize("name", ["lecun_normal", "normal", "uniform"])
def test_programs_differ_neither_by_shape_nor_by_scale(name):
    build = getattr(nn.initializers, name)
    shapes = [(3, 5), (64, 2), (3, 3, 4, 8)]
    programs = {recorded(build(), shape).program for shape in shapes}
    if name != "lecun_normal":
        programs |= {recorded(build(scale), (4, 4)).program for scale in (0.1, 0.7)}
    assert len(programs) == 1


@pytest.mark.parametrize(
    "initializer",
    [
        nn.initializers.orthogonal(),
        lambda key, shape, dtype: jnp.cumsum(jax.random.normal(key, shape, dtype), 0),
        lambda key, shape, dtype: jax.random.normal(key, shape[::-1], dtype).T,
        lambda key, shape, dtype: jax.random.permutation(key, jnp.arange(12)).reshape(shape),
        lambda key, shape, dtype: jnp.arange(12.0).reshape(shape),
        lambda key, shape, dtype: (
            jax.random.normal(key, shape, dtype) * jax.lax.fori_loop(0, 3, lambda i, x: x + i, 1.0)
        ),
    ],
)
def test_what_is_not_elementwise_has_no_program(initializer):
    assert recorded(initializer, (3, 4)) is None


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_generators_have_no_program(impl):
    key = jax.random.key(0, impl=impl)
    assert recorded(nn.initializers.normal(), (3, 4), key=key) is None


def test_bits_that_depend_on_the_shape_have_no_program():
    with jax.threefry_partitionable(False):
        assert recorded(nn.initializers.normal(), (3, 4)) is None


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


@pytest.mark.parametrize(
    "spec",
    [
        PartitionSpec(),
        PartitionSpec("data"),
        PartitionSpec(None, "model"),
        PartitionSpec("model", None, "data"),
        PartitionSpec(("data", "model"), None, None),
    ],
)
def test_each_device_draws_its_own_part_with_the_same_bits(spec):
    array = recorded(nn.initializers.normal(), (8, 6, 4))
    sharding = NamedSharding(mesh(), spec)
    drawn = drawing.EagerDrawing().draw(array, sharding)
    assert drawn.sharding == sharding
    np.testing.assert_array_equal(drawn, drawing.EagerDrawing().draw(array, None))


@pytest.mark.parametrize(
    "bounds", [[(0, 3), (0, 5)], [(2, 3), (1, 4)], [(1, 3), (0, 5)], [(0, 3), (4, 5)]]
)
@pytest.mark.parametrize("outer", [(), ((1, 2),), ((0, 4),)])
def test_indices_of_a_part_are_those_of_the_array(bounds, outer):
    sizes = (4, 3, 5)[-2 - len(outer) :]
    slices = tuple(slice(*one) for one in [*outer, *bounds])
    whole = np.arange(np.prod(sizes)).reshape(sizes)[slices]
    indices = drawing._part_indices(slices, sizes)
    np.testing.assert_array_equal(indices(np.arange(whole.size, dtype=np.uint64)), whole.ravel())


def test_indices_beyond_32_bits():
    bounds = (slice(3, 5), slice(1 << 19, (1 << 19) + 2))
    indices = drawing._part_indices(bounds, (8, 1 << 31))
    expected = [(3 << 31) + (1 << 19), (3 << 31) + (1 << 19) + 1, (4 << 31) + (1 << 19)]
    assert indices(np.arange(3, dtype=np.uint64)).tolist() == expected
    high, low = drawing.consecutive_indices(jnp.uint32((1 << 18) * 5 + 3))
    assert set(high.tolist()) == {5}
    assert low[:2].tolist() == [3 << 14, (3 << 14) + 1]


def test_a_committed_key_decides_about_the_device():
    key = jax.device_put(KEY, jax.devices()[3])
    kernel = nn.Dense(4).init(key, jnp.ones((2, 3)))["params"]["kernel"]
    assert kernel.devices() == {jax.devices()[3]}
    assert nn.Dense(4).init(KEY, jnp.ones((2, 3)))["params"]["kernel"].devices() == {
        jax.devices()[0]
    }


def test_memory_that_does_not_suffice_is_reported_with_the_parameter(monkeypatch):
    def exhausted(self, array, bounds):
        raise MemoryError

    monkeypatch.setattr(drawing.EagerDrawing, "_part", exhausted)
    with pytest.raises(MemoryError) as caught:
        nn.Sequential([nn.Dense(4)]).init(KEY, jnp.ones((2, 3)))
    assert str(caught.value) == (
        "Cannot create params/layers_0/bias of shape (4,) and dtype float32: the memory of the device or the host is "
        "exhausted. Create the variables on a mesh of several devices, or in a smaller dtype."
    )
