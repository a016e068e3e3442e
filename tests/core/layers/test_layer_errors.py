"""Bad input to a layer gives one clear line that names the layer's path and the argument."""

from __future__ import annotations

import pickle
import re

import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core import errors

X = jnp.ones((2, 5, 4))
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}


def _heads(**kwargs):
    return lambda: nn.MultiHeadDotProductAttention(**{"num_heads": 2, **kwargs})


CASES = {
    "dense scalar": (
        lambda: nn.Dense(2),
        (1.0,),
        {},
        errors.LayerRankError,
        "Cannot apply Dense at inner: `inputs` is a scalar, expected an array of shape (..., n).",
    ),
    "batch axes": (
        lambda: nn.DenseGeneral(2, axis=-1, batch_dims=(1,)),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply DenseGeneral at inner: `batch_dims` is (1,), expected the leading axes 0, 1, ... without a gap.",
    ),
    "missing axis": (
        lambda: nn.DenseGeneral(2, axis=3),
        (X,),
        {},
        errors.LayerRankError,
        "Cannot apply DenseGeneral at inner: `inputs` is an array of shape (2, 5, 4), expected one that has the axes "
        "(3,).",
    ),
    "implicit equation": (
        lambda: nn.Einsum((4, 3), "ab,bc"),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply Einsum at inner: `einsum_str` is 'ab,bc', expected an equation with an explicit \"->\".",
    ),
    "one operand": (
        lambda: nn.Einsum((4, 3), "ab->a"),
        (X,),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply Einsum at inner: `einsum_str` is 'ab->a', expected two operands, the input and the kernel, "
            "with one "
            "comma between them."
        ),
    ),
    "repeated letter": (
        lambda: nn.Einsum((4, 4), "xab,bb->a"),
        (X,),
        {},
        errors.LayerShapeError,
        (
            "Cannot apply Einsum at inner: `einsum_str` is 'xab,bb->a', expected a different letter for each axis of a "
            "kernel of shape (4, 4)."
        ),
    ),
    "convolution rank": (
        lambda: nn.Conv(3, (2, 2)),
        (X[0],),
        {},
        errors.LayerRankError,
        (
            "Cannot apply Conv at inner: `inputs` is an array of shape (5, 4), expected one of shape (batch..., "
            "space..., features) "
            "with 2 spatial axes. Add the missing axes, or give `kernel_size` one number for each spatial axis."
        ),
    ),
    "input groups": (
        lambda: nn.Conv(6, (2,), feature_group_count=3),
        (X,),
        {},
        errors.LayerShapeError,
        "Cannot apply Conv at inner: `inputs` is 4 features, expected a multiple of `feature_group_count`, which is 3.",
    ),
    "output groups": (
        lambda: nn.Conv(3, (2,), feature_group_count=2),
        (X,),
        {},
        errors.LayerShapeError,
        "Cannot apply Conv at inner: `features` is 3 features, expected a multiple of `feature_group_count`, which is "
        "2.",
    ),
    "local groups": (
        lambda: nn.ConvLocal(4, (2,), feature_group_count=2),
        (X,),
        {},
        errors.UnsupportedArgumentError,
        "Cannot apply ConvLocal at inner: `feature_group_count` is 2, expected 1, as each pixel has its own kernel.",
    ),
    "convolution mask": (
        lambda: nn.ConvTranspose(3, (2,), mask=jnp.ones(3)),
        (X,),
        {},
        errors.MaskShapeError,
        "Cannot apply ConvTranspose at inner: `mask` is of shape (3,), expected the kernel's shape (2, 4, 3).",
    ),
    "padding": (
        lambda: nn.Conv(3, (2,), padding=(1, 2)),
        (X,),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply Conv at inner: `padding` is (1, 2), expected a string, an integer, or 1 items that are each "
            "an "
            "integer or a "
            "tuple (low, high)."
        ),
    ),
    "strides": (
        lambda: nn.Conv(3, (2,), strides=(1, 2)),
        (X,),
        {},
        errors.LayerShapeError,
        "Cannot apply Conv at inner: `strides` is (1, 2), expected one number, or 1, as many as `kernel_size` has.",
    ),
    "dilation around the edges": (
        lambda: nn.Conv(3, (2,), padding="CIRCULAR", kernel_dilation=(1, 2)),
        (X,),
        {},
        errors.LayerShapeError,
        (
            "Cannot apply Conv at inner: `kernel_dilation` is (1, 2), expected one number, or 1, as many as "
            "`kernel_size` has."
        ),
    ),
    "causal padding": (
        lambda: nn.Conv(3, (2, 2), padding="CAUSAL"),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply Conv at inner: `padding` is 'CAUSAL', expected another one for 2 spatial axes.",
    ),
    "floats as indices": (
        lambda: nn.Embed(3, 2),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply Embed at inner: `inputs` is an array of dtype float32, expected integers.",
    ),
    "negative dropout": (
        lambda: nn.Dropout(-0.1, deterministic=False),
        (X,),
        {},
        errors.DropoutRateError,
        "Cannot apply Dropout at inner: `rate` is -0.1, expected a probability, from 0 (keep all) to 1 (drop all).",
    ),
    "normalization mask": (
        nn.LayerNorm,
        (X,),
        {"mask": jnp.ones(3)},
        errors.MaskShapeError,
        "Cannot apply LayerNorm at inner: `mask` is of shape (3,), expected a shape that broadcasts to the input's, "
        "(2, 5, 4).",
    ),
    "groups that do not divide": (
        lambda: nn.GroupNorm(3),
        (X,),
        {},
        errors.LayerShapeError,
        "Cannot apply GroupNorm at inner: `num_groups` is 3, expected a divisor of the number of features, 4.",
    ),
    "group size that does not divide": (
        lambda: nn.GroupNorm(None, 3),
        (X,),
        {},
        errors.LayerShapeError,
        "Cannot apply GroupNorm at inner: `group_size` is 3, expected a divisor of the number of features, 4.",
    ),
    "groups given twice": (
        lambda: nn.GroupNorm(2, 2),
        (X,),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply GroupNorm at inner: `num_groups` is 2 with `group_size` 2, expected exactly one of the two. "
            "Pass "
            "`num_groups=None` together with `group_size`."
        ),
    ),
    "group axes": (
        lambda: nn.GroupNorm(2, reduction_axes=(1,)),
        (X,),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply GroupNorm at inner: `reduction_axes` is (1,), expected axes that include the last one, which "
            "holds the "
            "features."
        ),
    ),
    "instance axes": (
        lambda: nn.InstanceNorm(feature_axes=0),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply InstanceNorm at inner: `feature_axes` is 0, expected axes other than the first, the batch.",
    ),
    "spectral norm of an image kernel": (
        lambda: nn.SpectralNorm(nn.Conv(3, (2,)), error_on_non_matrix=True),
        (X,),
        {"update_stats": True},
        errors.LayerRankError,
        (
            "Cannot apply SpectralNorm at inner: `layer_instance` is a layer with a weight of shape (2, 4, 3), "
            "expected a layer with "
            "weights of at most two axes, as `error_on_non_matrix` is set."
        ),
    ),
    "heads": (
        _heads(num_heads=3),
        (X,),
        {},
        errors.LayerShapeError,
        (
            "Cannot apply MultiHeadDotProductAttention at inner: `num_heads` is 3, expected a divisor of the number of "
            "features of "
            "queries, keys and values, 4."
        ),
    ),
    "attention mask": (
        _heads(),
        (X,),
        {"mask": jnp.ones((3, 3))},
        errors.MaskShapeError,
        (
            "Cannot apply MultiHeadDotProductAttention at inner: `mask` is of shape (3, 3), expected a shape that "
            "broadcasts to "
            "(batch..., heads, queries, keys), which is (2, 2, 5, 5)."
        ),
    ),
    "values without keys": (
        _heads(),
        (X, None, X),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply MultiHeadDotProductAttention at inner: `inputs_k` is left out while `inputs_v` is given, "
            "expected an array "
            "of keys. To use one array as keys and values, pass it as `inputs_k`."
        ),
    ),
    "keys given twice": (
        _heads(),
        (X, X),
        {"inputs_kv": X},
        errors.LayerArgumentError,
        (
            "Cannot apply MultiHeadDotProductAttention at inner: `inputs_kv` is given together with `inputs_k` or "
            "`inputs_v`, "
            "expected either it or the other two. Pass `inputs_k` and `inputs_v`; `inputs_kv` is deprecated."
        ),
    ),
    "empty sequential": (
        lambda: nn.Sequential([]),
        (X,),
        {},
        errors.LayerArgumentError,
        "Cannot apply Sequential at inner: `layers` is empty, expected at least one module or function.",
    ),
    "fp8 arguments": (
        nn.Fp8DirectDotGeneralOp,
        (X,),
        {},
        errors.LayerArgumentError,
        (
            "Cannot apply Fp8DirectDotGeneralOp at inner: `args` is 1 positional arguments, expected three: input, "
            "kernel and "
            "dimension numbers."
        ),
    ),
}


def _error(program, kind):
    with pytest.raises(kind) as caught:
        program()
    assert type(caught.value) is kind
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is kind
    assert str(copy) == str(caught.value)
    assert vars(copy) == vars(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("make", "args", "kwargs", "kind", "text"), CASES.values(), ids=CASES)
def test_message(make, args, kwargs, kind, text):
    class Outer(nn.Module):
        def setup(self):
            self.inner = make()

        def __call__(self):
            return self.inner(*args, **kwargs)

    assert _error(lambda: Outer().init(KEYS), kind) == text


def test_message_of_the_outermost_layer():
    text = _error(lambda: nn.Dropout(2.0, deterministic=True).apply({}, X), errors.DropoutRateError)
    assert text.startswith(
        "Cannot apply Dropout (the outermost module): `rate` is 2.0, expected a probability"
    )


def test_message_of_a_cache_of_another_shape():
    layer = nn.MultiHeadDotProductAttention(num_heads=2, decode=True)
    variables = layer.init(jax.random.key(0), X)
    assert _error(
        lambda: layer.apply(variables, X, mutable=["cache"]), errors.LayerArgumentError
    ) == (
        "Cannot apply MultiHeadDotProductAttention (the outermost module): `inputs_q` is projected to queries of shape "
        "(2, 5, 2, 2), expected one position at a time, of shape (2, 1, 2, 2). The cache was created for inputs of "
        "that batch shape."
    )


QUERY = jnp.ones((3, 2, 4))
FUNCTIONS = {
    "depth": (
        lambda: nn.dot_product_attention(QUERY, QUERY[..., :1], QUERY),
        errors.LayerShapeError,
        "Cannot apply dot_product_attention: `key` is of shape (3, 2, 1), expected the depth of the queries, of shape "
        "(3, 2, 4).",
    ),
    "length": (
        lambda: nn.dot_product_attention(QUERY, QUERY, QUERY[:1]),
        errors.LayerShapeError,
        "Cannot apply dot_product_attention: `value` is of shape (1, 2, 4), expected the length of the keys, of shape "
        "(3, 2, 4).",
    ),
    "length of fewer keys": (
        lambda: nn.dot_product_attention(QUERY, QUERY[:2], QUERY),
        errors.LayerShapeError,
        "Cannot apply dot_product_attention: `value` is of shape (3, 2, 4), expected the length of the keys, of shape "
        "(2, 2, 4).",
    ),
    "one einsum": (
        lambda: nn.dot_product_attention(QUERY, QUERY, QUERY, qk_attn_weights_einsum=jnp.einsum),
        errors.LayerArgumentError,
        (
            "Cannot apply dot_product_attention: `qk_attn_weights_einsum` is given alone, expected both of "
            "qk_attn_weights_einsum and "
            "attn_weights_value_einsum."
        ),
    ),
    "precision and einsum": (
        lambda: nn.dot_product_attention_weights(QUERY, QUERY, precision="high", einsum=jnp.einsum),
        errors.LayerArgumentError,
        (
            "Cannot apply dot_product_attention_weights: `einsum` is given together with `precision`, expected one of "
            "the "
            "two. Leave out `precision`: the function passed for einsum sets its own, for example "
            "functools.partial(jnp.einsum, "
            "precision=...)."
        ),
    ),
    "ranks of masks": (
        lambda: nn.combine_masks(jnp.ones(2), jnp.ones((2, 2))),
        errors.LayerShapeError,
        "Cannot apply combine_masks: `masks` is of ranks (1, 2), expected masks of the same rank.",
    ),
    "pooling rank": (
        lambda: nn.max_pool(X, (2, 2, 2)),
        errors.LayerRankError,
        (
            "Cannot apply pooling: `inputs` is an array of shape (2, 5, 4), expected one of shape (batch..., space..., "
            "features) with "
            "3 spatial axes."
        ),
    ),
    "pooling strides": (
        lambda: nn.avg_pool(X, (2,), (2, 2)),
        errors.LayerShapeError,
        "Cannot apply pooling: `strides` is (2, 2), expected 1 numbers, as the window.",
    ),
    "pooling padding": (
        lambda: nn.avg_pool(X, (2,), padding=((1, 1), (1, 1))),
        errors.LayerShapeError,
        "Cannot apply pooling: `padding` is ((1, 1), (1, 1)), expected 1 pairs, as the window.",
    ),
    "batch apply": (
        lambda: nn.BatchApply(jnp.sin)(jnp.ones(3)),
        errors.LayerArgumentError,
        "Cannot apply BatchApply: `args` is arrays of shapes [(3,)], expected at least one with 2 axes or more.",
    ),
    "sequential of a module": (
        lambda: nn.Sequential(nn.Dense(1)),
        errors.LayerArgumentError,
        "Cannot apply Sequential: `layers` is of type Dense, expected a sequence of modules and functions.",
    ),
    "integers": (
        lambda: nn.dtypes.promote_dtype(X, dtype="int32"),
        errors.InexactDtypeError,
        (
            "Cannot compute in dtype int32: expected a floating-point or complex dtype. Pass a floating-point "
            "`dtype`. To compute with integers, use nn.dtypes.promote_dtype with inexact=False; Dense, Conv and other "
            "layers take such a function as the field `promote_dtype`."
        ),
    ),
    "padding": (
        lambda: nn.linear.canonicalize_padding((1, 2), 1),
        errors.LayerArgumentError,
        (
            "Cannot apply a convolution: `padding` is (1, 2), expected a string, an integer, or 1 items that are each "
            "an "
            "integer or a tuple (low, high)."
        ),
    ),
    "fp8 dtype": (
        lambda: nn.fp8_ops.get_fp8_max("float16", "float32"),
        errors.Fp8DtypeError,
        (
            "Cannot apply get_fp8_max: `fp8_dtype` is float16, expected one of float8_e4m3fn, float8_e5m2, "
            "float8_e4m3fnuz, "
            "float8_e5m2fnuz."
        ),
    ),
}


@pytest.mark.parametrize(("program", "kind", "text"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_message_of_a_function(program, kind, text):
    assert _error(program, kind) == text


DEPRECATED = {
    "inputs_kv": (
        lambda: _heads()().init(KEYS, X, inputs_kv=X),
        "The argument `inputs_kv` is deprecated: pass `inputs_k` instead.",
    ),
    "square values": (
        lambda: _heads()().init(KEYS, X[:, :4], X[:, :4], X[:, :4]),
        "`inputs_v` has the shape (2, 4, 4), which looks like a mask: the third positional argument is the values. "
        "Pass a mask "
        "as `mask=`.",
    ),
    "self attention": (
        lambda: nn.SelfAttention(2).init(KEYS, X),
        "SelfAttention is deprecated: call MultiHeadDotProductAttention with one input.",
    ),
    "fp8 operation": (
        nn.Fp8DotGeneralOp,
        "Fp8DotGeneralOp is deprecated: use Fp8DirectDotGeneralOp or Fp8Einsum.",
    ),
}


@pytest.mark.parametrize(("program", "text"), DEPRECATED.values(), ids=DEPRECATED)
def test_deprecation(program, text):
    with pytest.warns(DeprecationWarning, match=re.escape(text)) as caught:
        program()
    assert [str(warning.message) for warning in caught] == [text]


DIMS = (((1,), (0,)), ((), ()))


def test_products_that_set_their_own_precision_say_so():
    with pytest.warns(UserWarning, match="sets its own precision") as caught:
        nn.fp8_ops.dot_general_with_precision(jnp.ones((1, 3)), jnp.ones((3, 1)), DIMS, "highest")
    assert str(caught[0].message) == (
        "dot_general_with_precision sets its own precision and preferred_element_type, and ignores the arguments."
    )
    one, zeros = jnp.ones(1), jnp.zeros(2)
    state = {f"{name}_scale": one for name in ("lhs", "rhs", "grad")}
    state |= {f"{name}_amax_history": zeros for name in ("lhs", "rhs", "grad")}
    with pytest.warns(UserWarning, match="sets its own precision") as caught:
        nn.fp8_ops.fp8_scaled_dot_general(
            jnp.ones((1, 3)), jnp.ones((3, 1)), DIMS, "highest", jnp.float32, **state
        )
    assert (
        str(caught[0].message)
        == "fp8_scaled_dot_general sets its own precision, and ignores the argument."
    )
