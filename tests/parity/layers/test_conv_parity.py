"""Conv, ConvLocal and ConvTranspose do what flax's do."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

from parity._compare import parity_settings
from parity.layers._draw import array, compare, dtypes, typed

shapes = st.sampled_from(
    [
        ((3,), (2, 7, 4)),
        ((2,), (7, 4)),
        (3, (2, 7, 4)),
        ((3, 2), (2, 5, 6, 4)),
        ((2, 2), (5, 6, 4)),
        ((2, 3), (2, 1, 5, 6, 4)),
        ((2, 1, 2), (1, 3, 4, 3, 4)),
        ((3, 3), (6, 4)),
    ]
)
common = st.fixed_dictionaries(
    {
        "dtypes": dtypes,
        "use_bias": st.booleans(),
        "padding": st.sampled_from(
            [
                "SAME",
                "VALID",
                "CIRCULAR",
                "REFLECT",
                "CAUSAL",
                1,
                (1,),
                ((0, 2), 1),
                (1, (2, 1)),
                [(1, 1)],
            ]
        ),
        "strides": st.sampled_from([1, 2, None, (2,), (1, 2)]),
        "kernel_dilation": st.sampled_from([1, 1, 2, None, (1, 2)]),
    }
)


@parity_settings(share=2)
@hypothesis.given(
    options=common,
    shape=shapes,
    groups=st.sampled_from([1, 1, 2, 3]),
    features=st.sampled_from([4, 6]),
    input_dilation=st.sampled_from([1, 1, 1, 2]),
)
def test_conv(options, shape, groups, features, input_dilation):
    dtype, options = typed(options)
    kernel, image = shape
    options |= {"features": features, "kernel_size": kernel, "feature_group_count": groups}
    compare("Conv", array(image, dtype), options={**options, "input_dilation": input_dilation})


@parity_settings(share=4)
@hypothesis.given(options=common, shape=shapes, groups=st.sampled_from([1, 1, 1, 2]))
def test_conv_local(options, shape, groups):
    dtype, options = typed(options)
    kernel, image = shape
    options |= {"features": 3, "kernel_size": kernel, "feature_group_count": groups}
    compare("ConvLocal", array(image, dtype), options=options)


@parity_settings(share=3)
@hypothesis.given(options=common, shape=shapes, transpose_kernel=st.booleans(), wide=st.booleans())
def test_conv_transpose(options, shape, transpose_kernel, wide):
    dtype, options = typed(options)
    kernel, image = shape
    options |= {"features": 3, "kernel_size": kernel, "transpose_kernel": transpose_kernel}
    options |= {"preferred_element_type": jnp.float32} if wide else {}
    compare("ConvTranspose", array(image, dtype), options=options)


@pytest.mark.parametrize("name", ["Conv", "ConvLocal", "ConvTranspose"])
@pytest.mark.parametrize("fits", [True, False])
def test_mask(name, fits):
    shape = {"Conv": (3, 2, 4), "ConvLocal": (5, 6, 4), "ConvTranspose": (3, 2, 4)}[name]
    mask = jnp.tril(jnp.ones(shape if fits else (1, *shape)))
    options = {"features": 4, "kernel_size": (3,), "padding": "VALID", "mask": mask}
    compare(name, array((2, 7, 2)), options=options)


def _halved(*args, **kwargs):
    return jax.lax.conv_general_dilated(*args, **kwargs) / 2


class _Half:
    def __call__(self, *args, **kwargs):
        return _halved(*args, **kwargs)


def _keep(*args, dtype=None, inexact=True):
    return list(args)


@pytest.mark.parametrize("name", ["Conv", "ConvLocal"])
@pytest.mark.parametrize(
    "options",
    [
        {"conv_general_dilated": _halved},
        {"conv_general_dilated_cls": _Half},
        {"promote_dtype": _keep},
    ],
    ids=["function", "class", "promote_dtype"],
)
def test_injected_functions(name, options):
    compare(name, array((2, 5, 3)), options={"features": 4, "kernel_size": (3,), **options})


def test_complex():
    options = {"features": 4, "kernel_size": (3,), "param_dtype": jnp.complex64}
    compare("Conv", array((2, 5, 3), "complex64"), options=options, gradient=False)
