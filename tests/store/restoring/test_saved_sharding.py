"""`restore` uses the saved sharding inside `jax.set_mesh`, unless another one is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import v1

import linen_core as nn
import linen_store

AXES = {"a": ("x", "y"), "b": (("x", "y"),), "c": (None, "y"), "d": ()}


def mesh_of(*sizes, names=("x", "y"), axis_types=None):
    devices = np.array(jax.devices()[: int(np.prod(sizes))]).reshape(sizes)
    return Mesh(devices, names, axis_types=axis_types)


@pytest.fixture
def tree():
    mesh = mesh_of(4, 2)
    values = np.arange(64.0, dtype=np.float32).reshape(8, 8)
    found = {
        name: jax.device_put(values, NamedSharding(mesh, PartitionSpec(*axes)))
        for name, axes in AXES.items()
    }
    return {"params": {**found, "one": jnp.arange(3)}}


def described(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("save", [linen_store.save, v1.save])
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_the_mesh_is_there(tmp_path, tree, same, save, kind):
    save(tmp_path / "c", tree)
    for sizes in ((4, 2), (2, 4), (8, 1)):
        mesh = mesh_of(*sizes, axis_types=(kind, kind))
        with jax.set_mesh(mesh):
            found = linen_store.restore(described(tree), tmp_path / "c").variables["params"]
        for name, axes in AXES.items():
            expected = NamedSharding(mesh, PartitionSpec(*axes))
            assert found[name].sharding.is_equivalent_to(expected, 2), name
        assert len(found["one"].sharding.device_set) == 1
        assert same(jax.device_get({"params": found}), jax.device_get(tree))


def test_a_part_of_the_mesh_is_there(tmp_path, tree):
    linen_store.save(tmp_path / "c", tree)
    with jax.set_mesh(mesh_of(4, names=("y",))) as _:
        found = linen_store.restore(described(tree), tmp_path / "c").variables["params"]
    specs = {name: found[name].sharding.spec for name in AXES}
    assert specs == {
        "a": PartitionSpec(None, ("y",)),
        "b": PartitionSpec(("y",)),
        "c": PartitionSpec(None, ("y",)),
        "d": PartitionSpec(),
    }
    with jax.set_mesh(mesh_of(3, names=("x",))):  # 3 does not divide 8
        found = linen_store.restore(described(tree), tmp_path / "c").variables["params"]
    assert found["a"].sharding.spec == PartitionSpec(None, None)


def test_something_else_is_asked_for(tmp_path, tree):
    linen_store.save(tmp_path / "c", tree)
    mesh = mesh_of(4, 2)
    columns = NamedSharding(mesh, PartitionSpec(None, "x"))
    asked = described(tree)
    asked["params"]["a"] = jax.ShapeDtypeStruct((8, 8), jnp.float32, sharding=columns)
    with jax.set_mesh(mesh):
        given = linen_store.restore(
            described(tree),
            tmp_path / "c",
            sharding=lambda names, spec: columns if len(spec.shape) == 2 else None,
        )
        own = linen_store.restore(asked, tmp_path / "c")
    assert given.variables["params"]["b"].sharding == columns
    assert own.variables["params"]["a"].sharding == columns
    plain = linen_store.restore(described(tree), tmp_path / "c").variables  # no mesh is set
    assert len(plain["params"]["a"].sharding.device_set) == 1


def test_a_model_is_ready_on_the_mesh(tmp_path):
    model, x = nn.Dense(8), jnp.ones((8, 4))
    mesh = mesh_of(4, 2)
    with jax.set_mesh(mesh):
        variables = model.init(jax.random.key(0), x)
        kernel = jax.device_put(
            variables["params"]["kernel"], NamedSharding(mesh, PartitionSpec(None, "y"))
        )
        variables["params"]["kernel"] = kernel
        linen_store.save(tmp_path / "c", variables)
        found = linen_store.restore(model, tmp_path / "c", x).variables
        assert found["params"]["kernel"].sharding.spec == PartitionSpec(None, "y")
        assert np.array_equal(jax.jit(model.apply)(found, x), jax.jit(model.apply)(variables, x))
