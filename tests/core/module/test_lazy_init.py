"""`lazy_init` makes what `init` makes, without its forward pass and one program for all equal parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import linen_core as nn
from linen_core.deferred import drawing

KEY = jax.random.key(0)
X = jnp.ones((2, 8))
SPEC = jax.ShapeDtypeStruct(X.shape, X.dtype)


class Net(nn.Module):
    depth: int = 3
    layer: type = nn.Dense

    @nn.compact
    def __call__(self, x):
        for _ in range(self.depth):
            x = nn.LayerNorm()(self.layer(8)(x))
        return x


class Mixed(nn.Module):
    """Parameters and state that are no plain draw from the key."""

    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(8)(x))
        x = nn.WeightNorm(nn.Dense(8))(x)
        opaque = np.arange(8.0)
        x += self.param("opaque", lambda key: jnp.asarray(opaque) + jax.random.normal(key, (8,)))
        x += self.param("plain", lambda _: 3)
        loop = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
        return loop()(x, None)[0]


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(8)(x), None


def ulps(one, other):
    one, other = (np.asarray(jnp.asarray(leaf)) for leaf in (one, other))
    assert one.dtype == other.dtype
    return int(
        np.abs(one.view(f"i{one.itemsize}").astype(int) - other.view(f"i{one.itemsize}")).max()
    )


@pytest.mark.parametrize(
    "model",
    [
        Net(),
        Net(layer=nn.remat(nn.Dense)),
        Net(layer=nn.jit(nn.Dense)),
        Mixed(),
        nn.MultiHeadDotProductAttention(2),
        nn.Dense(8, kernel_init=nn.initializers.normal(0.02), bias_init=nn.initializers.normal()),
        nn.Dense(8, kernel_init=nn.with_partitioning(nn.initializers.zeros, (None, "data"))),
    ],
)
@pytest.mark.parametrize("jitted", [False, True])
def test_variables_are_those_of_init_to_the_bit(model, jitted):
    run = lambda key: model.lazy_init(key, SPEC)
    made = (jax.jit(run) if jitted else run)(KEY)
    initialize = lambda key: model.init(key, X)
    expected = (jax.jit(initialize) if jitted else initialize)(KEY)
    assert jax.tree.structure(made) == jax.tree.structure(expected)
    assert max(jax.tree.leaves(jax.tree.map(ulps, made, expected))) == 0


def programs(depth):
    drawing._draw_whole.clear_cache()
    Net(depth).lazy_init(KEY, SPEC)
    return drawing._draw_whole._cache_size()


def test_programs_grow_neither_with_shapes_nor_with_depth():
    assert programs(2) == programs(20) == 1  # for all kernels; ones need no program


def test_zeros_of_either_sign_are_kept_apart():
    class Signed(nn.Module):
        @nn.compact
        def __call__(self):
            for number, zero in enumerate((0.0, -0.0)):
                self.param(f"zero_{number}", nn.initializers.constant(zero), ())

    made = Signed().lazy_init(KEY)["params"]
    assert not jnp.signbit(made["zero_0"])
    assert jnp.signbit(made["zero_1"])


def test_a_forward_pass_that_decides_by_values_runs():
    class Deciding(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3 if x.sum() > 0 else 4)(x)

    assert Deciding().lazy_init(KEY, X)["params"]["Dense_0"]["kernel"].shape == (8, 3)


def test_a_value_that_is_missing_is_named():
    class Dependent(nn.Module):
        @nn.compact
        def __call__(self, x):
            return self.param("first", lambda _: x)

    with pytest.raises(nn.errors.LazyInitError):
        Dependent().lazy_init(KEY, SPEC)


def test_a_decision_by_a_value_that_is_missing_is_an_error():
    class Deciding(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3 if x.sum() > 0 else 4)(x)

    with pytest.raises(nn.errors.LazyInitError, match=r"float32\[2,8\]"):
        Deciding().lazy_init(KEY, SPEC)


def test_the_chosen_store_is_handed_back():
    with nn.default_store(lambda collections: ("stored", collections)):
        kind, collections = Net().lazy_init(KEY, SPEC)
    assert kind == "stored"
    assert collections.keys() == {"params"}


def mesh():
    return Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))


RULES = [("embed", "data"), ("mlp", "model")]


def logical(depth):
    class Sharded(nn.Module):
        @nn.compact
        def __call__(self, x):
            init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), ("embed", "mlp"))
            for _ in range(depth):
                x = nn.Dense(8, kernel_init=init)(x)
            own = nn.with_partitioning(nn.initializers.lecun_normal(), ("model", None))
            return nn.Dense(4, kernel_init=own)(x)

    return Sharded()


def sharded_init(model, over, jitted):
    run = lambda key: model.lazy_init(key, SPEC)
    with jax.set_mesh(over), nn.logical_axis_rules(RULES):
        return (jax.jit(run) if jitted else run)(KEY)


@pytest.mark.parametrize("jitted", [False, True])
def test_each_parameter_is_made_in_its_sharding(jitted):
    over, model = mesh(), logical(3)
    made = nn.unbox(sharded_init(model, over, jitted))["params"]
    expected = nn.unbox(model.init(KEY, X))["params"]
    assert jax.tree.all(jax.tree.map(lambda a, b: (np.asarray(a) == b).all(), made, expected))
    specs = {"Dense_2": PartitionSpec("data", "model"), "Dense_3": PartitionSpec("model", None)}
    for name, spec in specs.items():
        kernel = made[name]["kernel"]
        assert kernel.sharding.is_equivalent_to(NamedSharding(over, spec), 2)
        assert made[name]["bias"].sharding.is_equivalent_to(NamedSharding(over, PartitionSpec()), 1)
    assert {shard.data.shape for shard in made["Dense_0"]["kernel"].addressable_shards} == {(2, 4)}


def test_no_parameter_is_ever_whole_on_one_device(monkeypatch):
    draw, parts = drawing.EagerDrawing._part, []

    def noted(self, array, bounds):
        parts.append(tuple(one.stop - one.start for one in bounds))
        return draw(self, array, bounds)

    monkeypatch.setattr(drawing.EagerDrawing, "_part", noted)
    with jax.set_mesh(mesh()), nn.logical_axis_rules(RULES):
        logical(2).lazy_init(KEY, SPEC)
    assert parts.count((2, 4)) == 2 * 8
    assert (8, 8) not in parts
