"""Attention, as layers and as functions, does what flax's does."""

from __future__ import annotations

import functools

import flax.linen as flax_nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity._compare import assert_same_outcome, assert_same_tree, parity_settings, plain
from parity.layers._draw import array, compare, dtypes, ones_of, typed

layer_options = st.fixed_dictionaries(
    {
        "dtypes": dtypes,
        "num_heads": st.sampled_from([1, 2, 3]),
        "qkv_features": st.sampled_from([None, 4]),
        "out_features": st.sampled_from([None, 3]),
        "use_bias": st.booleans(),
        "normalize_qk": st.booleans(),
        "broadcast_dropout": st.booleans(),
        "dropout_rate": st.sampled_from([0.0, 0.0, 0.5]),
        "deterministic": st.sampled_from([None, True, False]),
        "force_fp32_for_softmax": st.booleans(),
        "out_kernel_init": st.sampled_from([None, jax.nn.initializers.ones]),
    }
)
masks = st.sampled_from([None, None, "causal", "full", "wrong"])


def _mask(kind, q, k):
    if kind == "causal":
        return jnp.arange(q.shape[-2])[:, None] >= jnp.arange(k.shape[-2])
    if kind == "full":
        return jnp.zeros((1, 1, q.shape[-2], k.shape[-2]))
    return None if kind is None else jnp.ones((7, 5, 9))


@parity_settings(share=3)
@hypothesis.given(
    options=layer_options,
    inputs=st.sampled_from([(False, False), (True, False), (True, True), (False, True)]),
    mask=masks,
    sow=st.booleans(),
    name=st.sampled_from(["MultiHeadDotProductAttention", "MultiHeadAttention"]),
    batch=st.sampled_from([(2,), (2, 1), ()]),
)
def test_multi_head_attention(options, inputs, mask, sow, name, batch):
    dtype, options = typed(options)
    q, k = array((*batch, 3, 6), dtype), array((*batch, 2, 6), dtype, seed=1)
    v = array((*batch, 2, 5), dtype, seed=2)
    given_k, given_v = k if inputs[0] else None, v if inputs[1] else None
    compare(
        name,
        q,
        given_k,
        given_v,
        options=options,
        key={"params": jax.random.key(0), "dropout": jax.random.key(1)},
        rngs={"dropout": jax.random.key(2)},
        mask=_mask(mask, q, q if given_k is None else k),
        sow_weights=sow,
        mutable=["intermediates"] if sow else False,
    )


@parity_settings(share=2)
@hypothesis.given(
    options=ones_of(
        dtype=[None, "float32", "bfloat16"],
        precision=[None, "highest"],
        broadcast_dropout=[True, False],
        dropout_rate=[0.0, 0.25],
        deterministic=[True, False],
        force_fp32_for_softmax=[True, False],
    ),
    bias=st.booleans(),
    mask=masks,
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    jit=st.booleans(),
    shapes=st.sampled_from(
        [
            ((2, 3, 2, 4), (2, 5, 2, 4)),
            ((3, 1, 4), (5, 1, 4)),
            ((3, 2, 4), (5, 1, 4)),
            ((3, 1, 4), (5, 1, 6)),
            ((2, 3, 1, 4), (5, 1, 4)),
        ]
    ),
)
def test_dot_product_attention(options, bias, mask, dtype, jit, shapes):
    query, key = (array(shape, dtype, seed=i) for i, shape in enumerate(shapes))
    value = array(key.shape, dtype, seed=3)
    allowed = (
        None
        if mask is None
        else (
            jnp.ones((9, 9, 9))
            if mask == "wrong"
            else array((3, 5), seed=4) > (0 if mask == "causal" else 9)
        )
    )
    biases = array((3, 5), dtype, seed=5) if bias else None
    options = {**options, "bias": biases, "mask": allowed, "dropout_rng": jax.random.key(7)}

    def run(library, name, *args):
        function = functools.partial(getattr(library, name), **options)
        return (jax.jit(function) if jit else function)(*args)

    def outputs(library):
        return run(library, "dot_product_attention", query, key, value)

    def weights(library):
        return run(library, "dot_product_attention_weights", query, key)

    assert_same_outcome(lambda: outputs(nn), lambda: outputs(flax_nn))
    assert_same_outcome(lambda: weights(nn), lambda: weights(flax_nn))


@pytest.mark.parametrize("jit", [True, False])
def test_decoding(jit):
    x = array((2, 4, 6))
    runs = []
    for library in (nn, flax_nn):
        layer = library.MultiHeadDotProductAttention(num_heads=2, decode=True)
        variables = plain(layer.init(jax.random.key(0), x))
        apply = functools.partial(layer.apply, mutable=["cache"])
        apply = jax.jit(apply) if jit else apply
        outputs = []
        for position in range(4):
            y, changed = apply(variables, x[:, position : position + 1])
            variables = {**variables, **changed}
            outputs.append(y)
        runs.append((outputs, variables))
        full = jax.jit(layer.clone(decode=False).apply)
    assert_same_tree(*runs)
    everything = full({"params": variables["params"]}, x, mask=nn.make_causal_mask(x[..., 0]))
    assert jnp.allclose(jnp.concatenate(outputs, axis=1), everything, atol=1e-5)


def test_decoding_refuses_more_than_one_position():
    def run(library):
        layer = library.MultiHeadDotProductAttention(num_heads=2, decode=True)
        variables = layer.init(jax.random.key(0), array((2, 4, 6)))
        return layer.apply(variables, array((2, 2, 6)), mutable=["cache"])

    assert assert_same_outcome(lambda: run(nn), lambda: run(flax_nn)) is None


def _uniform(query, key, value, mask=None, dtype=None):
    return jnp.broadcast_to(value.mean(axis=-3, keepdims=True), query.shape).astype(dtype)


def _swapped(equation, *operands):
    return jnp.einsum(equation, *operands) * 2


@pytest.mark.parametrize(
    "options",
    [
        {"attention_fn": _uniform, "dtype": jnp.float32},
        {
            "qk_attn_weights_einsum_cls": lambda: _swapped,
            "attn_weights_value_einsum_cls": lambda: _swapped,
        },
        {"qk_attn_weights_einsum_cls": lambda: _swapped},
        {
            "qkv_dot_general": jax.lax.dot_general,
            "out_dot_general_cls": lambda: jax.lax.dot_general,
        },
    ],
    ids=["attention_fn", "einsums", "one_einsum", "dot_generals"],
)
def test_injected_functions(options):
    compare("MultiHeadDotProductAttention", array((2, 3, 4)), options={"num_heads": 2, **options})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_deprecated_ways_in():
    x = array((2, 3, 4))
    compare("SelfAttention", x, options={"num_heads": 2})
    compare("MultiHeadDotProductAttention", x, options={"num_heads": 2}, inputs_kv=array((2, 5, 4)))
    compare("MultiHeadDotProductAttention", x, x, options={"num_heads": 2}, inputs_kv=x)
    square = array((2, 3, 3))
    compare("MultiHeadDotProductAttention", square, square, square, options={"num_heads": 3})


@parity_settings(share=3)
@hypothesis.given(
    options=ones_of(extra_batch_dims=[0, 1, 2], dtype=["float32", "bool"]),
    shape=st.sampled_from([(4,), (2, 3)]),
    ranks=st.lists(st.sampled_from([None, (4,), (1, 4), (3, 1)]), max_size=3),
)
def test_masks(options, shape, ranks):
    flags = array(shape) > 0
    more = [None if s is None else array(s) > 0 for s in ranks]

    def run(library):
        combined = library.combine_masks(*more, dtype=options["dtype"])
        pairs = library.make_attention_mask(flags, flags, jnp.logical_or, **options)
        return library.make_causal_mask(flags, **options), pairs, combined

    assert_same_outcome(lambda: run(nn), lambda: run(flax_nn))
