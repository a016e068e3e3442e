"""Constraints heed the type of each mesh axis: automatic, explicit, or manual inside `jax.shard_map`."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import linen_core as nn

X = jnp.ones((8, 4))
KEY = jax.random.key(0)
RULES = [("embed", None), ("mlp", "model"), ("batch", "data")]
TYPES = list(itertools.product([AxisType.Auto, AxisType.Explicit], repeat=2))
BOXES = {
    "mesh axes": (nn.with_partitioning, (None, "model")),
    "logical": (nn.with_logical_partitioning, ("embed", "mlp")),
    "plain": (lambda init, _: init, None),
}


class Net(nn.Module):
    box: str

    @nn.compact
    def __call__(self, x):
        wrap, names = BOXES[self.box]
        h = nn.Dense(16, kernel_init=wrap(nn.initializers.lecun_normal(), names))(x)
        if self.box == "logical":
            h = nn.with_logical_constraint(h, ("batch", "mlp"))
        return nn.LayerNorm()(nn.relu(h))


EXPECTED = Net("plain").init_with_output(KEY, X)[0]


def make_mesh(types):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=types)


@pytest.mark.parametrize("wrap", [jax.jit, lambda run: run], ids=["jit", "eager"])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("types", TYPES, ids=lambda types: "-".join(one.name for one in types))
def test_a_model_runs_on_a_mesh(types, box, wrap):
    model = Net(box)
    with jax.set_mesh(make_mesh(types)), nn.logical_axis_rules(RULES):
        variables = wrap(model.init)(KEY, X)
        y = wrap(model.apply)(variables, X)
        lazy = model.apply(model.lazy_init(KEY, X), X)
    np.testing.assert_allclose(y, EXPECTED, atol=1e-6)
    np.testing.assert_allclose(lazy, EXPECTED, atol=1e-6)


@pytest.mark.parametrize("types", TYPES, ids=lambda types: "-".join(one.name for one in types))
def test_a_constraint_shards_over_axes_of_both_types(types):
    mesh = make_mesh(types)
    with jax.set_mesh(mesh), nn.logical_axis_rules(RULES):
        y = jax.jit(lambda x: nn.with_logical_constraint(2 * x, ("batch", "mlp")))(X)
    assert y.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec("data", "model")), 2)


@pytest.mark.parametrize("types", TYPES, ids=lambda types: "-".join(one.name for one in types))
def test_a_mesh_that_is_passed_is_heeded(types):
    mesh = make_mesh(types)
    box = nn.Partitioned(X, ("data", "model"), mesh)
    with jax.set_mesh(mesh):
        value = jax.jit(box.unbox)()
    assert value.sharding.is_equivalent_to(NamedSharding(mesh, PartitionSpec("data", "model")), 2)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("manual", [{"data"}, {"data", "model"}])
def test_manual_axes_are_left_out(box, manual):
    model = Net(box)
    variables = model.init(KEY, X)
    mesh = make_mesh((AxisType.Auto, AxisType.Auto))
    run = jax.shard_map(
        model.apply,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("data")),
        out_specs=PartitionSpec("data"),
        axis_names=manual,
    )
    if box != "plain" and manual == {"data"} and not _constrains_the_other_axes(mesh):
        pytest.skip("before 0.8, JAX has no sharding constraints where some axes are manual")
    with nn.logical_axis_rules(RULES):
        np.testing.assert_allclose(jax.jit(run)(variables, X), EXPECTED, atol=1e-6)


def _constrains_the_other_axes(mesh):
    def constrain(x):
        return jax.lax.with_sharding_constraint(x, PartitionSpec(None, "model"))

    split = PartitionSpec("data")
    run = jax.shard_map(constrain, mesh=mesh, in_specs=split, out_specs=split, axis_names={"data"})
    try:
        jax.jit(run)(X)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("run", ["init", "lazy_init"])
def test_eager_init_puts_variables_on_the_mesh(types, run):
    """As every eager operation does while a mesh is set: later operations mix them with arrays of the mesh."""
    mesh = make_mesh(types)
    with jax.set_mesh(mesh):
        key = jax.random.key(0)  # an array of the mesh
        variables = getattr(nn.Dense(3), run)(key, X)
        assert jax.tree.all(jax.tree.map(np.array_equal, variables, nn.Dense(3).init(KEY, X)))
    whole = NamedSharding(mesh, PartitionSpec())
    for leaf in jax.tree.leaves(variables):
        assert leaf.sharding == whole
    expected = nn.Dense(3).init(KEY, X)
    assert jax.tree.all(jax.tree.map(lambda a, b: (np.asarray(a) == b).all(), variables, expected))


@pytest.mark.parametrize("partition", [PartitionSpec(), PartitionSpec("data")])
@pytest.mark.parametrize("types", TYPES)
def test_an_initializer_with_a_constant_on_the_mesh(types, partition):
    scales = jax.device_put(jnp.arange(8.0), NamedSharding(make_mesh(types), partition))

    def init_fn(key, shape, dtype=jnp.float32):
        return jax.random.normal(key, shape, dtype) * scales.sum()

    kernel = nn.Dense(3, kernel_init=init_fn).init(KEY, X)["params"]["kernel"]
    expected = nn.Dense(3, kernel_init=nn.initializers.normal(1.0)).init(KEY, X)["params"]["kernel"]
    np.testing.assert_allclose(kernel, 28 * expected, rtol=1e-6)
