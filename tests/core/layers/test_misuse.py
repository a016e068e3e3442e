"""Layers used where they cannot work: an error or a warning says where and what to do, and the advice works."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from linen_core import errors

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (4, 6))
NORMS = {
    "BatchNorm": lambda **fields: nn.BatchNorm(use_running_average=False, **fields),
    "LayerNorm": nn.LayerNorm,
    "RMSNorm": nn.RMSNorm,
    "GroupNorm": lambda **fields: nn.GroupNorm(num_groups=3, **fields),
    "InstanceNorm": nn.InstanceNorm,
}


@pytest.mark.parametrize("name", NORMS)
def test_an_axis_that_no_transform_has_is_named(name):
    x = X.reshape(4, 1, 6)
    variables = NORMS[name]().init(KEY, x)
    model = NORMS[name](axis_name="batch")

    def apply(x):
        return model.apply(variables, x, mutable=["batch_stats"])[0]

    for call in (apply, jax.jit(apply)):
        with pytest.raises(errors.UnboundAxisError) as caught:
            call(x)
        assert isinstance(caught.value, NameError)
        assert str(caught.value).split("\n")[0] == (
            f"Cannot apply {name} (the outermost module): `axis_name` is 'batch', expected the name of an axis of a "
            "surrounding transform. Call the model under jax.vmap, jax.pmap or nn.vmap with axis_name='batch', or "
            "under jax.shard_map over a mesh with that axis; or leave `axis_name` out."
        )
    y = jax.vmap(apply, axis_name="batch")(x[:, None])
    assert y[:, 0].shape == x.shape
    mesh = jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.P("batch")
    assert jax.shard_map(apply, mesh=mesh, in_specs=spec, out_specs=spec)(x).shape == x.shape


def test_the_place_of_a_layer_with_an_unbound_axis_is_named():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.BatchNorm(use_running_average=False, axis_name="devices", name="norm")(x)

    variables = Model().init(KEY, X)  # the axis need not exist while variables are made
    with pytest.raises(
        errors.UnboundAxisError, match=r"^Cannot apply BatchNorm at norm: `axis_name` is 'devices'"
    ):
        Model().apply(variables, X, mutable=["batch_stats"])


def decoder(length):
    model = nn.MultiHeadDotProductAttention(num_heads=1, qkv_features=2, decode=True)
    variables = model.init(KEY, jnp.ones((1, length, 2)))
    step = jnp.ones((1, 1, 2))

    def decode(cache):
        _, updated = model.apply({**variables, "cache": cache}, step, mutable=["cache"])
        return updated["cache"]

    return decode, variables["cache"]


def test_decoding_past_the_end_of_the_cache_is_warned_of_once():
    decode, cache = decoder(length=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            cache = decode(cache)
        assert not caught
        for _ in range(3):
            cache = decode(cache)
    assert [str(warning.message) for warning in caught] == [
        "MultiHeadDotProductAttention (the outermost module) decodes beyond the 2 positions of its cache: it "
        "overwrites "
        "the last one, and its output is wrong. Create the cache with `init` on an input of the full length."
    ]
    decode, cache = decoder(length=5)  # the advice
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            cache = decode(cache)


def test_decoding_under_jit_is_as_before():
    decode, cache = decoder(length=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            cache = jax.jit(decode)(cache)
    assert int(cache["cache_index"]) == 4


RULES = (("batch", "data"),)


def constrained(x):
    return nn.with_logical_constraint(x, ("batch", None), rules=RULES)


def has_constraint(call):
    return "sharding_constraint" in str(jax.make_jaxpr(call)(X))


def unboxed(x):
    return nn.Partitioned(x, names=("data", None)).unbox()


def unboxed_logically(x):
    return nn.LogicallyPartitioned(x, names=("batch", None), rules=RULES).unbox()


@pytest.mark.filterwarnings("ignore:.*context manager has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("call", [constrained, unboxed, unboxed_logically])
def test_a_mesh_that_jax_no_longer_reads_is_warned_of(call):
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with mesh, pytest.warns(RuntimeWarning) as caught:
        assert not has_constraint(call)
    assert str(caught[0].message) == (
        "The mesh entered as `with mesh:` is ignored: variables and activations are not sharded over it. Use `with "
        "jax.set_mesh(mesh):`, or pass `mesh=` where the sharding is given."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not has_constraint(call)
        with jax.set_mesh(mesh):
            assert has_constraint(call)


def test_a_mesh_that_is_passed_needs_no_surrounding_one():
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    assert has_constraint(
        lambda x: nn.with_logical_constraint(x, ("batch", None), rules=RULES, mesh=mesh)
    )


class Counted:
    """Promotes as layers do, and keeps the shapes of what it casts."""

    def __init__(self):
        self.shapes = []

    def __call__(self, *arrays, **options):
        self.shapes += [np.shape(array) for array in arrays]
        return nn.dtypes.promote_dtype(*arrays, **options)


def test_an_eager_embedding_casts_the_vectors_it_finds():
    indices = jnp.array([[1, 0, 7], [5, 5, 99]])
    model = nn.Embed(8, 4, dtype=jnp.bfloat16)
    variables = model.init(KEY, indices)
    eager, jitted = model.apply(variables, indices), jax.jit(model.apply)(variables, indices)
    assert eager.dtype == jnp.bfloat16
    assert jnp.array_equal(eager, jitted, equal_nan=True)
    assert jnp.isnan(eager[1, 2]).all()
    with jax.log_compiles(False):
        table = variables["params"]["embedding"]
        casts = str(
            jax.make_jaxpr(lambda t: model.apply({"params": {"embedding": t}}, indices))(table)
        )
    assert re.search(r"bf16\[8,4\]", casts)  # under a trace the table is cast, as by flax
    own = Counted()
    nn.Embed(8, 4, dtype=jnp.bfloat16, promote_dtype=own).apply(variables, indices)
    assert own.shapes == [(8, 4)]  # a user's function sees the table


def test_gradients_of_a_cast_embedding_are_summed_in_the_cast_dtype():
    flax_nn = pytest.importorskip(
        "flax.linen", reason="the gradients are compared with those of flax"
    )
    indices = jnp.zeros(300, jnp.int32)
    variables = nn.Embed(2, 3).init(KEY, indices)

    def gradient(lib):
        model = lib.Embed(2, 3, dtype=jnp.bfloat16)
        return jax.grad(lambda v: (model.apply(v, indices) * 0.1).sum())(variables)

    ours, theirs = gradient(nn), gradient(flax_nn)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, ours, theirs))


LINE, IMAGE = jnp.ones((1, 6, 2)), jnp.ones((1, 6, 6, 2))
PADDINGS = {
    "Conv (the outermost module)": (lambda word: nn.Conv(2, (3,), padding=word).init_with_output(KEY, LINE)[0], "CIRCULAR"),
    "ConvLocal (the outermost module)": (lambda word: nn.ConvLocal(2, (3,), padding=word).init_with_output(KEY, LINE)[0], "CIRCULAR"),
    "ConvTranspose (the outermost module)": (lambda word: nn.ConvTranspose(2, (3,), padding=word).init_with_output(KEY, LINE)[0], "CIRCULAR"),
    "pooling": (lambda word: nn.max_pool(IMAGE, (2, 2), padding=word), "SAME"),
}  # fmt: skip


@pytest.mark.parametrize("name", PADDINGS)
def test_a_padding_that_is_not_known_is_named_with_those_that_are(name):
    call, known = PADDINGS[name]
    with pytest.raises(errors.PaddingWordError) as caught:
        call("circular")
    assert isinstance(caught.value, RuntimeError)
    assert str(caught.value).startswith(
        f"Cannot apply {name}: `padding` is 'circular', expected one of 'SAME', 'SAME_LOWER', 'VALID'"
    )
    assert known in str(caught.value)
    assert call(known).shape[1] == 6
    assert call("same").shape[1] == 6
