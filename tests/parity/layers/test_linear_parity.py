"""Dense, DenseGeneral, Einsum and Embed do what flax's do."""

from __future__ import annotations

import flax.linen as flax_nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
from parity._compare import assert_same_run, optimizations, parity_settings
from parity.layers._draw import FEW, array, compare, dtypes, integers, ones_of, typed

common = st.fixed_dictionaries(
    {
        "dtypes": dtypes,
        "use_bias": st.booleans(),
        "precision": st.sampled_from([None, "highest", ("high", "default")]),
    }
)
shapes = st.sampled_from([(4,), (3, 4), (2, 3, 4), (1, 1), (0, 4)])


@parity_settings(share=3)
@hypothesis.given(options=common, shape=shapes, features=st.sampled_from([1, 5]))
def test_dense(options, shape, features):
    dtype, options = typed(options)
    compare("Dense", array(shape, dtype), options={"features": features, **options})


@parity_settings(share=3)
@hypothesis.given(
    options=common,
    features=st.sampled_from([3, (2, 3), (5,), ()]),
    axes=st.sampled_from(
        [(-1, ()), ((1, -1), ()), (0, ()), ((-2,), (0,)), ((2, 3), (0, 1)), (-1, (1,))]
    ),
)
def test_dense_general(options, features, axes):
    dtype, options = typed(options)
    options = {"features": features, "axis": axes[0], "batch_dims": axes[1], **options}
    compare("DenseGeneral", array((2, 3, 4, 2), dtype), options=options)


@parity_settings(share=3)
@hypothesis.given(
    options=common,
    equation=st.sampled_from(
        [
            ((4, 5), "...a,ab->...b", (2, 3, 4)),
            ((4, 5), " ab , bc -> ac", (3, 4)),
            ((3, 4, 5), "bsa,sac->bc", (2, 3, 4)),
            ((4, 5, 2), "...a,abc->...bc", (4,)),
            ((2, 4), "...a,...a->...", (3, 2, 4)),
            ((2, 4, 3), "x...a,...ab->...xb", (5, 2, 4)),
            ((4, 5), "...a,ab->b", (4,)),
            ((4, 5), "ab,bc", (3, 4)),
            ((4, 5), "ab->ab", (3, 4)),
            ((4, 4), "ab,bb->ab", (3, 4)),
        ]
    ),
    element_type=st.sampled_from([None, "float32"]),
    in_call=st.booleans(),
)
def test_einsum(options, equation, element_type, in_call):
    kernel, text, shape = equation
    dtype, options = typed(options)
    options = {"preferred_element_type": element_type, **options}
    run = {"einsum_str": text} if in_call else {}
    options |= {} if in_call else {"einsum_str": text}
    compare("Einsum", array(shape, dtype), options={"shape": kernel, **options}, **run)


@parity_settings(share=3)
@hypothesis.given(
    sizes=st.sampled_from([(7, 3), (1, 3), (4, 1)]),
    options=ones_of(dtypes=FEW),
    shape=st.sampled_from([(), (5,), (2, 3)]),
    floats=st.sampled_from([False, False, True]),
)
def test_embed(sizes, options, shape, floats):
    rows, features = sizes
    dtype, options = typed(options)
    indices = array(shape) if floats else integers(shape, rows + 2)
    compare("Embed", indices, positional=sizes, options=options)
    ours, theirs = (library.Embed(rows, features, **options) for library in (nn, flax_nn))
    query = array((2, features), dtype)
    assert_same_run(ours, theirs, query, method="attend", gradient=True)


def _doubled(lhs, rhs, dimensions, precision=None, **kwargs):
    return 2 * jax.lax.dot_general(lhs, rhs, dimensions, precision=precision)


class _Keep:
    def __call__(self, *args, **kwargs):
        return _doubled(*args, **kwargs)


def _only_cast_kernel(inputs, kernel, bias, dtype=None, inexact=True):
    return [
        inputs,
        kernel.astype(inputs.dtype),
        None if bias is None else bias.astype(inputs.dtype),
    ]


@pytest.mark.parametrize("name", ["Dense", "DenseGeneral"])
@pytest.mark.parametrize(
    "options",
    [{"dot_general": _doubled}, {"dot_general_cls": _Keep}, {"promote_dtype": _only_cast_kernel}],
    ids=["dot_general", "dot_general_cls", "promote_dtype"],
)
def test_injected_functions(name, options):
    compare(name, array((2, 3), "bfloat16"), options={"features": 4, **options})


@pytest.mark.parametrize("dtype", ["complex64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("name", ["Dense", "DenseGeneral"])
def test_other_dtypes(name, dtype):
    x = array((2, 3), dtype) if dtype == "complex64" else jnp.ones((2, 3), dtype)
    compare(name, x, options={"features": 4}, gradient=dtype != "complex64")
    if dtype == "complex64":
        compare(name, x, options={"features": 4, "param_dtype": dtype}, gradient=False)


@pytest.mark.parametrize("inputs", [[1.0, 2.0], 3.0], ids=["list", "number"])
def test_inputs_that_are_no_arrays(inputs):
    compare("Dense", inputs, options={"features": 2}, gradient=False)


@parity_settings(share=3)
@hypothesis.given(
    options=ones_of(
        features=[(2, 3), 3], axis=[-1, (0, 1), 5], batch_dims=[(1,), (0, 2), (-1,), ()]
    )
)
def test_dense_general_refuses_alike(options):
    compare("DenseGeneral", array((2, 3, 4)), options=options, gradient=False)


def test_an_eager_product_over_one_element_is_rounded_before_the_sum():
    """Compiled as one program a product over one element and the bias would be rounded together."""
    generator = np.random.default_rng(0)
    x, kernel, bias = (
        generator.standard_normal(shape).astype(np.float32) for shape in ((512, 1), (1, 64), (64,))
    )
    with optimizations():
        y = nn.Dense(64).apply(
            {"params": {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}}, jnp.asarray(x)
        )
    assert (np.asarray(y) == x * kernel + bias).all()
