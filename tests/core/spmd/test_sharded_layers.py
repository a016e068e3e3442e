"""Modules over a real mesh of eight devices: shardings that come out of jit, and names that transforms add."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from core._last_bits import assert_same_draw

KEY = jax.random.key(0)
X = jnp.linspace(-1, 1, 64).reshape(8, 8)


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


def dense(names):
    return nn.Dense(8, kernel_init=nn.with_partitioning(nn.initializers.lecun_normal(), names))


class Layer(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return dense((None, "model"))(x), None


def vmapped():
    layer = nn.vmap(
        Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        axis_size=4,
        metadata_params={nn.PARTITION_NAME: "data"},
    )
    return layer()


def scanned():
    layer = nn.scan(
        Layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=4,
        metadata_params={nn.PARTITION_NAME: "data"},
    )
    return layer()


@pytest.mark.parametrize(
    ("make", "spec", "part"),
    [
        (lambda: dense(("data", "model")), PartitionSpec("data", "model"), (2, 4)),
        (vmapped, PartitionSpec("data", None, "model"), (1, 8, 4)),
        (scanned, PartitionSpec("data", None, "model"), (1, 8, 4)),
    ],
)
def test_init_under_jit_puts_each_part_on_its_device(make, spec, part):
    model, over = make(), mesh()

    def init(key):
        return model.init(key, X)

    shardings = nn.get_sharding(jax.eval_shape(init, KEY), over)
    variables = jax.jit(init, out_shardings=shardings)(KEY)
    [box] = [
        leaf
        for leaf in jax.tree.leaves(variables, is_leaf=nn.meta.is_axis_metadata)
        if nn.meta.is_axis_metadata(leaf)
    ]
    assert box.value.sharding.is_equivalent_to(NamedSharding(over, spec), box.value.ndim)
    assert {shard.data.shape for shard in box.value.addressable_shards} == {part}
    assert nn.get_partition_spec(variables) == jax.tree.map(
        lambda sharding: sharding.spec, shardings
    )
    plain = model.init(KEY, X)
    jax.tree.map(assert_same_draw, variables, plain)
    y = jax.tree.leaves(jax.jit(model.apply)(variables, X))[0]
    np.testing.assert_allclose(y, jax.tree.leaves(model.apply(plain, X))[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [vmapped, scanned])
def test_lazy_init_puts_what_transforms_make_on_the_mesh(make):
    model, over = make(), mesh()
    with jax.set_mesh(over):
        variables = model.lazy_init(KEY, jax.ShapeDtypeStruct(X.shape, X.dtype))
    kernel = nn.unbox(variables)["params"]["Dense_0"]["kernel"]
    spec = PartitionSpec("data", None, "model")
    assert kernel.sharding.is_equivalent_to(NamedSharding(over, spec), 3)
    expected = nn.unbox(model.init(KEY, X))["params"]["Dense_0"]["kernel"]
    assert_same_draw(kernel, expected)


def test_a_boxed_kernel_of_several_axes_is_made_under_a_mesh():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), (None, "data", "model"))
    model = nn.DenseGeneral((4, 2), kernel_init=init)
    with jax.set_mesh(mesh()):
        kernel = nn.unbox(model.lazy_init(KEY, X))["params"]["kernel"]
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(8, 1, 1)}
    assert_same_draw(kernel, nn.unbox(model.init(KEY, X))["params"]["kernel"])
