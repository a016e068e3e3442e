"""Dropout, PReLU, Sequential, BatchApply, WeightNorm, SpectralNorm and the 8-bit products do what flax's do."""

from __future__ import annotations

import flax.linen as flax_nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from parity._compare import assert_same_outcome, assert_same_tree, parity_settings, plain
from parity.layers._draw import array, compare, ones_of


@parity_settings()
@hypothesis.given(
    rate=st.sampled_from([0.0, 0.1, 0.5, 1.0, 1]),
    deterministic=st.sampled_from([None, True, False, False]),
    in_call=st.sampled_from([None, None, True, False]),
    broadcast_dims=st.sampled_from([(), (0,), (-1,), [0, 1]]),
    stream=st.sampled_from(["dropout", "noise", "absent"]),
    own_key=st.booleans(),
    dtype=st.sampled_from(["float32", "bfloat16"]),
)
def test_dropout(rate, deterministic, in_call, broadcast_dims, stream, own_key, dtype):
    options = {
        "rate": rate,
        "deterministic": deterministic,
        "broadcast_dims": broadcast_dims,
        "rng_collection": stream,
    }
    run = {"rng": jax.random.key(8)} if own_key else {}
    run |= {} if in_call is None else {"deterministic": in_call}
    streams = {"dropout": jax.random.key(1), "noise": jax.random.key(2)}
    compare("Dropout", array((3, 4), dtype), options=options, key=streams, rngs=streams, **run)


@parity_settings(share=3)
@hypothesis.given(
    options=ones_of(param_dtype=["float32", "bfloat16"], negative_slope_init=[0.01, 0.5]),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
)
def test_prelu(options, dtype):
    compare("PReLU", array((3, 4), dtype), options=options)


def test_sequential():
    compare(
        lambda lib: lib.Sequential(
            [lib.Dense(4), lib.relu, lib.Dense(2), lambda x: {"inputs": x}, lib.Dense(3)]
        ),
        array((2, 3)),
    )
    compare(
        lambda lib: lib.Sequential([lambda x: (x, x), lambda x, y: x + y, lib.Dense(3)]),
        array((2, 3)),
    )
    compare(lambda lib: lib.Sequential([]), array((2, 3)))
    assert_same_outcome(
        lambda: nn.Sequential(nn.Dense(1)), lambda: flax_nn.Sequential(flax_nn.Dense(1))
    )


@pytest.mark.parametrize("num_dims", [1, 2, 3, 5])
def test_batch_apply(num_dims):
    def run(lib):
        apply = lib.BatchApply(
            lambda x, y, z: {"a": x * 2, "b": (x.sum(-1), z["k"] + x.sum(-1))}, num_dims
        )
        return apply(array((2, 3, 4, 5)), 1.0, z={"k": np.float32(3.0)})

    assert_same_outcome(lambda: run(nn), lambda: run(flax_nn))


def _deep(lib):
    class Inner(lib.Module):
        @lib.compact
        def __call__(self, x):
            return lib.LayerNorm()(lib.Dense(3)(x))

    class Outer(lib.Module):
        @lib.compact
        def __call__(self, x):
            return lib.Dense(2)(Inner()(lib.DenseGeneral((2, 2))(x).reshape((*x.shape[:-1], 4))))

    return Outer()


LAYERS = {
    "dense": lambda lib: lib.Dense(3),
    "conv": lambda lib: lib.Conv(3, (2,)),
    "deep": _deep,
}


@parity_settings(share=4)
@hypothesis.given(
    layer=st.sampled_from(sorted(LAYERS)),
    options=ones_of(
        epsilon=[1e-12, 0.1],
        dtype=[None, "bfloat16"],
        use_scale=[True, False],
        feature_axes=[-1, None, 0],
        variable_filter=[{"kernel"}, None, {"bias", "Inner"}, ()],
    ),
)
def test_weight_norm(layer, options):
    compare(lambda lib: lib.WeightNorm(LAYERS[layer](lib), **options), array((2, 4, 3)))


@parity_settings(share=4)
@hypothesis.given(
    layer=st.sampled_from(sorted(LAYERS)),
    options=ones_of(
        n_steps=[1, 3, 0],
        epsilon=[1e-12, 0.1],
        dtype=[None, "bfloat16"],
        error_on_non_matrix=[False, False, True],
        collection_name=["batch_stats", "spectral"],
    ),
    update=st.booleans(),
)
def test_spectral_norm(layer, options, update):
    compare(
        lambda lib: lib.SpectralNorm(LAYERS[layer](lib), **options),
        array((2, 4, 3)),
        update_stats=update,
        mutable=[options["collection_name"]],
    )


def test_spectral_norm_inside_a_model():
    def build(lib):
        class Model(lib.Module):
            @lib.compact
            def __call__(self, x, train):
                x = lib.SpectralNorm(lib.Dense(4))(lib.Dense(3)(x), update_stats=train)
                return lib.Dense(5)(x)

        return Model()

    compare(build, array((2, 3)), train=True, mutable=["batch_stats"])


PRODUCTS = ("Fp8DirectDotGeneralOp", "Fp8DotGeneral", "NANOOFp8DotGeneralOp", "Fp8DotGeneralOp")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(("dtype", "length"), [("float32", 16), ("bfloat16", 2)])
def test_fp8_training(name, dtype, length):
    """Scales and histories move on as gradients do, over several steps."""
    runs = []
    for lib in (nn, flax_nn):
        op = getattr(lib, name)
        model = lib.Sequential(
            [
                lib.Dense(
                    8, dtype=dtype, dot_general_cls=lambda op=op: op(amax_history_length=length)
                ),
                lib.DenseGeneral(
                    (2, 4),
                    dtype=dtype,
                    dot_general_cls=lambda op=op: op(amax_history_length=length),
                ),
            ]
        )
        x = array((3, 6), dtype)
        variables = plain(model.init(jax.random.key(0), x))
        gradient = jax.jit(
            jax.grad(lambda v, x, model=model: (model.apply(v, x).astype(jnp.float32) ** 2).sum())
        )
        for step in range(3):
            grads = gradient(variables, x * (step + 1))
            params = jax.tree.map(lambda p, g: p - 0.01 * g, variables["params"], grads["params"])
            variables = {
                **variables,
                "params": params,
                "_overwrite_with_gradient": grads["_overwrite_with_gradient"],
            }
        runs.append((variables, model.apply(variables, x)))
    assert_same_tree(*runs)


def test_fp8_einsum():
    runs = []
    for lib in (nn, flax_nn):
        layer, x, w = lib.Fp8Einsum(), array((2, 3, 4)), array((4, 5), "bfloat16", seed=1)
        variables = plain(layer.init(jax.random.key(0), "abc,cd->abd", x, w))

        def loss(variables, x, w, layer=layer):
            return (
                layer.apply(variables, "abc,cd->abd", x, w, preferred_element_type=jnp.bfloat16)
                ** 2
            ).sum()

        runs.append((variables, jax.grad(loss, argnums=(0, 1, 2))(variables, x, w)))
    assert_same_tree(*runs)


def test_fp8_values_of_the_dtype_of_maxima_add_up_to_their_maximum():
    """A layer used twice hands up the larger of two maxima, in a dtype whose sum is the maximum."""
    results, x = [], array((4,))
    for ops in (nn.fp8_ops, flax_nn.fp8_ops):

        def used_twice(scale, history, ops=ops):
            scale, history = (jax.lax.convert_element_type(v, ops.fm32) for v in (scale, history))

            def twice(scale, history):
                first = ops.in_qdq(jnp.float32, jnp.float8_e4m3fn, x, scale, history)
                return (
                    first + ops.in_qdq(jnp.float32, jnp.float8_e4m3fn, 5 * x, scale, history)
                ).sum()

            made = jax.grad(twice, argnums=(0, 1), allow_int=True)(scale, history)
            return [jax.lax.convert_element_type(v, jnp.float32) for v in made]

        results.append(jax.jit(used_twice)(jnp.ones(1), jnp.zeros(3)))
    assert_same_tree(*results)
    assert float(results[0][1].max()) == float(jnp.abs(5 * array((4,))).max())


def test_fp8_product_of_batches():
    dims = (((2, 1), (0, 2)), ((0,), (1,)))
    lhs, rhs = array((2, 3, 4, 5)), array((4, 2, 3), seed=1)
    runs = []
    for lib in (nn, flax_nn):
        op = lib.Fp8DirectDotGeneralOp(amax_history_length=4)
        variables = plain(op.init(jax.random.key(0), lhs, rhs, dims))
        runs.append(
            jax.grad(lambda v, a, b, op=op: op.apply(v, a, b, dims).sum(), argnums=(0, 1, 2))(
                variables, lhs, rhs
            )
        )
    assert_same_tree(*runs)
