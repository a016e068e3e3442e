"""The normalizations of activations do what flax's do."""

from __future__ import annotations

import functools

import flax.linen as flax_nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import pytest

import linen_core as nn
from parity._compare import assert_same_tree, parity_settings
from parity.layers._draw import array, compare, dtypes, ones_of, typed

common = st.fixed_dictionaries(
    {
        "dtypes": dtypes,
        "use_scale": st.booleans(),
        "use_bias": st.booleans(),
        "epsilon": st.sampled_from([1e-6, 0.1]),
        "use_fast_variance": st.booleans(),
        "force_float32_reductions": st.sampled_from([True, True, False]),
    }
)
shape = st.sampled_from([(2, 3, 4), (3, 4), (2, 2, 3, 4)])
masks = st.sampled_from([None, None, (4,), (3, 1), (2, 3, 4), (5,)])


def _mask(mask_shape):
    return None if mask_shape is None else array(mask_shape, seed=5) > -0.5


@parity_settings(share=4)
@hypothesis.given(
    options=common,
    axes=ones_of(reduction_axes=[-1, (1, 2), (-1, -2), 0], feature_axes=[-1, (1, -1), 0]),
    shape=shape,
    mask=masks,
)
def test_layer_norm(options, axes, shape, mask):
    dtype, options = typed(options)
    compare("LayerNorm", array(shape, dtype), options={**options, **axes}, mask=_mask(mask))


@parity_settings(share=4)
@hypothesis.given(
    options=common,
    axes=ones_of(reduction_axes=[-1, (1, 2), (-1, -2), 0], feature_axes=[-1, (1, -1), 0]),
    shape=shape,
    mask=masks,
)
def test_rms_norm(options, axes, shape, mask):
    dtype, options = typed(options)
    del options["use_bias"]
    compare("RMSNorm", array(shape, dtype), options={**options, **axes}, mask=_mask(mask))


@parity_settings(share=3)
@hypothesis.given(
    options=common,
    groups=st.sampled_from(
        [
            (2, None),
            (None, 2),
            (4, None),
            (1, None),
            (None, 1),
            (3, None),
            (None, None),
            (2, 2),
            (None, 3),
            (0, None),
        ]
    ),
    reduction_axes=st.sampled_from([None, None, (1, 2), (-1,), (0, -1)]),
    shape=shape,
    mask=masks,
)
def test_group_norm(options, groups, reduction_axes, shape, mask):
    dtype, options = typed(options)
    options |= {"num_groups": groups[0], "group_size": groups[1], "reduction_axes": reduction_axes}
    if mask is not None and mask[-1:] == (1,):
        mask = None  # flax divides the mask's last axis into groups too
    compare("GroupNorm", array(shape, dtype), options=options, mask=_mask(mask))


@parity_settings(share=4)
@hypothesis.given(
    options=common, axes=st.sampled_from([-1, (1, -1), 0, 1]), shape=shape, mask=masks
)
def test_instance_norm(options, axes, shape, mask):
    dtype, options = typed(options)
    options["feature_axes"] = axes
    compare("InstanceNorm", array(shape, dtype), options=options, mask=_mask(mask))


@parity_settings(share=1)
@hypothesis.given(
    options=common,
    axis=st.sampled_from([-1, 0, (0, -1), 1]),
    momentum=st.sampled_from([0.9, 0.0, 1.0]),
    shape=shape,
    mask=masks,
    average=st.sampled_from([True, False, False]),
    in_call=st.booleans(),
    mutable=st.sampled_from([False, ["batch_stats"], ["batch_stats"]]),
)
def test_batch_norm(options, axis, momentum, shape, mask, average, in_call, mutable):
    dtype, options = typed(options)
    options |= {"axis": axis, "momentum": momentum}
    options |= {} if in_call else {"use_running_average": average}
    run = {"use_running_average": average} if in_call else {}
    compare(
        "BatchNorm", array(shape, dtype), options=options, mask=_mask(mask), mutable=mutable, **run
    )


def _over_devices(library, name, **options):
    """An input with four devices, and what a device does with its part."""
    x = array((4, 3, 2, 4))
    options |= {"num_groups": 2} if name == "GroupNorm" else {}
    options |= {"use_running_average": False} if name == "BatchNorm" else {}
    variables = getattr(library, name)(**options).init(jax.random.key(0), x[0])
    layer = getattr(library, name)(axis_name="batch", **options)
    return x, functools.partial(layer.apply, variables, mutable=["batch_stats"])


NORMS = ("LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm", "BatchNorm")


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", NORMS)
def test_statistics_over_a_mapped_axis(name, fast):
    results = []
    for library in (nn, flax_nn):
        x, apply = _over_devices(library, name, use_fast_variance=fast)
        results.append(jax.vmap(apply, axis_name="batch")(x))
    assert_same_tree(*results)


@pytest.mark.parametrize("name", NORMS)
def test_statistics_over_groups_of_devices(name):
    groups = [[0, 1], [2, 3]]
    for library in (nn, flax_nn):
        x, apply = _over_devices(library, name, axis_index_groups=groups)
        program = str(jax.make_jaxpr(apply, axis_env=[("batch", 4)])(x[0]))
        assert program.count("axis_index_groups=((0, 1), (2, 3))") == 1


def test_batch_norm_makes_variables_without_its_mapped_axis():
    x = array((3, 4))
    layers = [lib.BatchNorm(use_running_average=False, axis_name="b") for lib in (nn, flax_nn)]
    assert_same_tree(*(layer.init(jax.random.key(0), x) for layer in layers))


@pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm", "InstanceNorm"])
def test_complex(name):
    compare(name, array((2, 3, 4), "complex64"), gradient=False)


def test_integers():
    compare("LayerNorm", jnp.arange(12).reshape(3, 4))
    compare("RMSNorm", jnp.arange(12).reshape(3, 4))


def test_batch_norm_needs_to_know_which_statistics():
    compare("BatchNorm", array((2, 3)))
    compare(
        "BatchNorm", array((2, 3)), options={"use_running_average": True}, use_running_average=False
    )


def _renormalized(lib, x, dtype, options):
    """Apply a module that is written on the helpers of `normalization`, as batch renormalizations are."""

    class Renorm(lib.Module):
        @lib.compact
        def __call__(self, x):
            axes = lib.normalization._canonicalize_axes(x.ndim, -1)
            rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
            mean, var = lib.normalization._compute_stats(x, rest, dtype=dtype, **options)
            y = lib.normalization._normalize(
                self,
                x,
                0.9 * mean,
                var / 0.7,
                rest,
                axes,
                dtype,
                jnp.float32,
                1e-3,
                True,
                True,
                lib.initializers.zeros,
                lib.initializers.normal(),
            )
            return y, mean, var

    return Renorm().init_with_output(jax.random.key(2), x)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
@pytest.mark.parametrize(
    "options",
    [{}, {"use_fast_variance": False}, {"use_mean": False}, {"mask": _mask((3, 1))}],
    ids=["plain", "slow", "no-mean", "mask"],
)
def test_helpers_that_batch_renormalizations_use(options, dtype):
    ours, theirs = (_renormalized(lib, array((2, 3, 4)), dtype, options) for lib in (nn, flax_nn))
    assert_same_tree(ours, theirs)
