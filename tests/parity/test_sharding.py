"""Logical axes, rules and constraints: the same on linen_core and on flax.linen, over a mesh of eight devices."""

import flax.linen as fnn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.linen import partitioning as fpartitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from parity import _compare as compare

NAMES = ["batch", "heads", "embed", "mlp", None]
AXES = ["data", "model", None, ("data", "model"), ("model",)]
RULES = [("batch", "data"), ("mlp", "model"), ("heads", "model"), ("embed", None)]


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


@hypothesis.given(
    names=st.one_of(st.none(), st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)),
    rules=st.lists(st.tuples(st.sampled_from(NAMES[:-1]), st.sampled_from(AXES)), max_size=6),
)
@compare.parity_settings()
def test_logical_names_map_to_the_same_mesh_axes(names, rules):
    compare.assert_same_outcome(
        lambda: nn.logical_to_mesh_axes(names, rules),
        lambda: fnn.logical_to_mesh_axes(names, rules),
    )


def test_rules_hold_inside_their_block():
    with nn.logical_axis_rules(RULES):
        assert nn.logical_to_mesh_axes(("batch", "mlp")) == PartitionSpec("data", "model")
        with nn.logical_axis_rules([]):
            assert list(nn.get_logical_axis_rules()) == []
        assert list(nn.get_logical_axis_rules()) == RULES
    assert list(nn.get_logical_axis_rules()) == []


def model(lib):
    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            init = lib.with_logical_partitioning(lib.initializers.lecun_normal(), ("embed", "mlp"))
            h = lib.Dense(8, kernel_init=init)(x)
            h = lib.with_logical_constraint(h, ("batch", "mlp"))
            back = lib.with_partitioning(lib.initializers.lecun_normal(), ("model", None))
            return lib.Dense(4, kernel_init=back)(h)

    return Model()


def sharded_run(lib):
    """Sharded init and apply of a model: variables' shardings and values, and the output's."""
    module, x, over = model(lib), jnp.arange(32.0).reshape(8, 4), mesh()

    def init(key):
        return module.init(key, x)

    with lib.logical_axis_rules(RULES):
        specs = lib.get_partition_spec(jax.eval_shape(init, jax.random.key(0)))
        shardings = lib.logical_to_mesh_sharding(specs, over, RULES)
        variables = jax.jit(init, out_shardings=shardings)(jax.random.key(0))
        batch = jax.device_put(x, NamedSharding(over, PartitionSpec("data")))
        y = jax.jit(module.apply)(variables, batch)
        grads = jax.jit(jax.grad(lambda v: module.apply(v, batch).sum()))(variables)
    placed = [str(leaf.sharding.spec) for leaf in jax.tree.leaves((variables, y))]
    values = jax.tree.map(np.asarray, (lib.unbox(variables), y, lib.unbox(grads)))
    return specs, placed, values


@compare.needs_a_mesh
def test_sharded_model_is_the_same():
    ours = compare.assert_same_outcome(lambda: sharded_run(nn), lambda: sharded_run(fnn))
    assert ours is not None


def constrained(lib, fallback, names, rules):
    fallback = getattr(lib.spmd.RulesFallback, fallback)
    y = lib.with_logical_constraint(jnp.ones((8, 4)), names, rules, mesh(), fallback)
    return str(y.sharding), np.asarray(y)


@pytest.mark.parametrize("fallback", ["AXIS_IS_UNSHARDED", "RAISE_ERROR", "NO_CONSTRAINT"])
@pytest.mark.parametrize("names", [("batch", "unknown"), ("batch", "mlp"), (None, None), None])
def test_constraint_falls_back_alike(fallback, names):
    compare.assert_same_outcome(
        lambda: constrained(nn, fallback, names, RULES),
        lambda: constrained(fnn, fallback, names, RULES),
    )


def axes_program(lib, partitioning):
    class Layer(lib.Module):
        @lib.compact
        def __call__(self, x, _=None):
            w = partitioning.param_with_axes(
                "w", lib.initializers.ones, (4, 4), axes=("embed", "mlp")
            )
            v = partitioning.variable_with_axes(
                "state", "v", jnp.zeros, (4,), axes=("embed",), module=self
            )
            return x @ w + v.value, None

    class Model(lib.Module):
        @lib.compact
        def __call__(self, x):
            looped = partitioning.scan_with_axes(
                Layer,
                variable_axes={"params": 0, "state": 0},
                split_rngs={"params": True},
                length=3,
                axes_collections=("params", "state"),
            )
            x, _ = looped(name="layers")(x, None)
            mapped = partitioning.vmap_with_axes(
                Layer,
                variable_axes={"params": 1, "state": 0},
                split_rngs={"params": True},
                in_axes=(0,),
                partitioning_axis_names={"params": "experts", "state": "experts"},
            )
            y, _ = mapped(name="experts")(x[None].repeat(2, 0))
            return partitioning.remat(Layer)(name="last")(y[0])[0]

    variables = Model().init(jax.random.key(0), jnp.ones((2, 4)))
    y = Model().apply(variables, jnp.ones((2, 4)))
    names = partitioning.get_axis_names(variables["params_axes"])
    rest = {name: variables[name] for name in ("params", "state")}
    state_names = partitioning.get_axis_names(variables["state_axes"])
    return rest, y, compare.plain(names), compare.plain(state_names)


def test_older_partitioning_is_the_same():
    ours = compare.assert_same_outcome(
        lambda: axes_program(nn, nn.partitioning),
        lambda: axes_program(fnn, fpartitioning),
    )
    assert ours is not None


def placed_by_boxes(lib):
    boxes = {
        "w": lib.Partitioned(jnp.ones((8, 2)), names=("data", "model")),
        "b": jnp.ones(3),
        "note": "text",
    }
    return jax.tree.map(str, lib.get_sharding(boxes, mesh())), lib.get_partition_spec(boxes)


@compare.needs_a_mesh
def test_boxes_give_the_same_shardings():
    ours = compare.assert_same_outcome(lambda: placed_by_boxes(nn), lambda: placed_by_boxes(fnn))
    assert ours is not None


@compare.needs_a_mesh
def test_unknown_axis_names_the_rules():
    message = (
        "Cannot shard an array with axes ('batch', 'hads'): no rule maps 'hads', only 'batch', 'embed', 'heads', "
        "'mlp'. Did you mean 'heads'? Add a rule, with None for an axis that is not sharded."
    )
    with pytest.raises(nn.errors.UnknownAxisError) as caught:
        constrained(nn, "RAISE_ERROR", ("batch", "hads"), RULES)
    assert str(caught.value) == message
