"""Arguments that a layer cannot heed: a warning says so, and following it the argument has its effect."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 4, 4))
CAUSAL = nn.make_causal_mask(X[..., 0])


def plain(query, key, value, **options):
    return nn.dot_product_attention(query, key, value, **options)


def takes_all(query, key, value, mask=None, dropout_rate=0.0, dropout_rng=None, deterministic=True):
    return plain(
        query,
        key,
        value,
        mask=mask,
        dropout_rate=dropout_rate,
        dropout_rng=dropout_rng,
        deterministic=deterministic,
    )


def attend(attention_fn, lib=nn, mask=None, **fields):
    layer = lib.MultiHeadDotProductAttention(num_heads=2, attention_fn=attention_fn, **fields)
    rngs = {"params": KEY, "dropout": KEY}
    return layer.init_with_output(rngs, X, mask=mask)[0]


DROPPING = {"dropout_rate": 0.5, "deterministic": False}


@pytest.mark.parametrize(
    ("name", "options"), [("mask", {"mask": CAUSAL}), ("dropout_rate", DROPPING)]
)
def test_an_attention_function_that_drops_an_argument_is_warned_of(name, options):
    with pytest.warns(RuntimeWarning) as caught:
        ignored = attend(plain, **options)
    assert str(caught[0].message) == (
        f"MultiHeadDotProductAttention (the outermost module) ignores {name}: its `attention_fn` has no parameter of "
        "that name. Name it in the function's signature; **kwargs do not receive it."
    )
    assert (ignored == attend(plain)).all()
    followed = attend(takes_all, **options)  # the advice
    assert not jnp.allclose(followed, ignored)
    flax_nn = pytest.importorskip(
        "flax.linen", reason="the results are compared with those of flax"
    )
    assert jnp.allclose(ignored, attend(plain, flax_nn, **options), atol=1e-6)
    assert jnp.allclose(followed, attend(takes_all, flax_nn, **options), atol=1e-6)


def test_decoding_with_a_function_without_a_mask_is_warned_of():
    layer = nn.MultiHeadDotProductAttention(num_heads=2, attention_fn=plain, decode=True)
    variables = layer.init(KEY, X)
    with pytest.warns(RuntimeWarning, match="ignores mask"):
        layer.apply(variables, X[:, :1], mutable=["cache"])


def test_nothing_is_warned_of_that_has_no_effect():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attend(plain, dropout_rate=0.5, deterministic=True)
        attend(plain, dtype=jnp.bfloat16, precision="highest")
        attend(plain, broadcast_dropout=False)


def bidirectional(x, **options):
    layer = nn.Bidirectional(nn.RNN(nn.GRUCell(2)), nn.RNN(nn.GRUCell(2)))
    return layer.init_with_output(KEY, x, **options)[0]


def test_a_direction_of_both_directions_is_warned_of():
    with pytest.warns(RuntimeWarning) as caught:
        ignored = bidirectional(X, reverse=True)
    assert str(caught[0].message) == (
        "Bidirectional (the outermost module) ignores reverse=True: it runs both directions, and returns outputs in "
        "the order of the inputs. Leave the argument out, or reverse the inputs or the outputs yourself."
    )
    assert (ignored == bidirectional(X)).all()
    assert not jnp.allclose(bidirectional(jnp.flip(X, 1)), ignored)  # the advice
    with pytest.warns(RuntimeWarning, match="ignores keep_order=False"):
        bidirectional(X, keep_order=False)


def multiply(dot_general_cls, precision):
    layer = nn.Dense(2, dot_general_cls=dot_general_cls, precision=precision)
    return layer.init_with_output(KEY, X)[0]


@pytest.mark.parametrize("product", [nn.Fp8DirectDotGeneralOp, nn.NANOOFp8DotGeneralOp])
def test_a_precision_for_products_in_8_bits_is_warned_of(product):
    with pytest.warns(RuntimeWarning) as caught:
        ignored = multiply(product, "highest")
    assert str(caught[0].message) == (
        f"{product.__name__} at {product.__name__}_0 sets its own precision, and ignores 'highest'. Leave "
        "`precision` out of the layer that uses it."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for precision in (None, "default", jax.lax.Precision.DEFAULT):
            assert (multiply(product, precision) == ignored).all()


def test_other_dtypes_for_a_product_of_fixed_dtypes_are_warned_of():
    dtypes = {"e4m3_dtype": jnp.float8_e4m3fnuz, "e5m2_dtype": jnp.float8_e5m2fnuz}
    with pytest.warns(RuntimeWarning, match="ignores its fields e4m3_dtype and e5m2_dtype"):
        multiply(lambda: nn.Fp8DirectDotGeneralOp(**dtypes), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        multiply(nn.Fp8DirectDotGeneralOp, None)
        multiply(nn.NANOOFp8DotGeneralOp, None)  # the advice
