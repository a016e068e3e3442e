"""Pooling, activations, initializers, dtype promotion: functions that do what flax's do."""

from __future__ import annotations

import flax.linen as flax_nn
import flax.linen.initializers
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import linen_core as nn
import linen_core.layers.initializers
from parity._compare import assert_same_outcome, assert_same_tree, parity_settings
from parity.layers._draw import array, ones_of

ELEMENTWISE = [
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softplus",
    "swish",
    "tanh",
]
ALONG_AN_AXIS = ["glu", "log_softmax", "logsumexp", "normalize", "softmax", "standardize"]


def _same(name, *args, jit=False, **kwargs):
    def run(library):
        function = getattr(library, name)
        if jit:
            return jax.jit(lambda *args: function(*args, **kwargs))(*args)
        return function(*args, **kwargs)

    return assert_same_outcome(lambda: run(nn), lambda: run(flax_nn), where=name)


@pytest.mark.parametrize("name", ELEMENTWISE + ALONG_AN_AXIS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "complex64"])
def test_activation(name, dtype):
    x = array((3, 4), dtype) * 3 if dtype != "int32" else jnp.arange(12).reshape(3, 4)
    _same(name, x)
    if dtype != "int32":
        _same(name, x, jit=True)


@pytest.mark.parametrize("name", ELEMENTWISE + ALONG_AN_AXIS)
def test_gradient_of_activation(name):
    x = jnp.array([[0.0, 1.5, -2.0, 6.0], [jnp.inf, -jnp.inf, -3.0, 3.0]])
    grads = []
    for library in (nn, flax_nn):
        function = getattr(library, name)
        forwards = jax.jvp(function, (x,), (jnp.ones_like(x),))
        backwards = jax.jit(jax.grad(lambda x, f=function: (f(x) ** 2).sum()))(x[:1])
        grads.append((forwards, backwards))
    assert_same_tree(*grads)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activation_of_a_number(name):
    _same(name, 0.5)
    _same(name, np.arange(3.0))


@parity_settings(share=2)
@hypothesis.given(
    name=st.sampled_from(["log_softmax", "softmax", "standardize", "logsumexp"]),
    axis=st.sampled_from([-1, 0, (0, 1), None, 5]),
    masked=st.booleans(),
    jit=st.booleans(),
)
def test_axis_and_mask(name, axis, masked, jit):
    x = array((3, 4))
    _same(name, x, axis=axis, where=(x > -0.5) if masked else None, jit=jit)


def test_parameters_of_activations():
    x = array((3, 4))
    _same("celu", x, 0.5)
    _same("elu", x, alpha=0.5)
    _same("leaky_relu", x, negative_slope=0.2)
    _same("gelu", x, approximate=False)
    _same("glu", x, axis=1)
    _same("glu", x, axis=0)
    _same("standardize", x, mean=0.5, variance=2.0, epsilon=0.1)
    _same("one_hot", jnp.arange(3), 5, dtype=jnp.bfloat16, axis=0)


@parity_settings()
@hypothesis.given(
    name=st.sampled_from(["avg_pool", "max_pool", "min_pool"]),
    shape=st.sampled_from([(2, 7, 3), (7, 3), (2, 5, 6, 3), (5, 6, 3), (1, 2, 5, 6, 3), (3,)]),
    options=ones_of(
        window_shape=[(2,), (2, 3), (3, 3)],
        strides=[None, (2,), (1, 2), (2, 2)],
        padding=["VALID", "SAME", ((1, 0),), ((0, 1), (1, 1)), [(1, 1)]],
    ),
    include=st.booleans(),
    dtype=st.sampled_from(["float32", "float32", "bfloat16", "int32"]),
    jit=st.booleans(),
)
def test_pooling(name, shape, options, include, dtype, jit):
    x = array(shape, dtype) if dtype != "int32" else jnp.arange(np.prod(shape)).reshape(shape)
    options |= {"count_include_pad": include} if name == "avg_pool" else {}
    library = flax_nn if hasattr(flax_nn, name) else flax_nn.pooling

    lead = len(shape) - len(options["window_shape"]) - 1

    lead = len(shape) - len(options["window_shape"]) - 1

    def run(library, x):
        def call(x):
            return getattr(library, name)(x, **options)

        return (jax.jit(call) if jit else call)(x)

    def run_flax():
        if lead < 2:
            return run(library, x)
        flat = run(
            library, x.reshape(-1, *shape[lead:])
        )  # flax pads and counts one batch axis only
        return flat.reshape(*shape[:lead], *flat.shape[1:])

    assert_same_outcome(lambda: run(nn, x), run_flax)


def test_gradient_of_pooling():
    x = array((2, 6, 6, 3))
    for name in ("avg_pool", "max_pool"):
        grads = [
            jax.grad(lambda x, f=f: (f(x, (2, 2), (2, 2)) ** 2).sum())(x)
            for f in (getattr(nn, name), getattr(flax_nn, name))
        ]
        assert_same_tree(*grads)


def test_pool_takes_a_function():
    x = array((2, 6, 3))
    _same("pool", x, 1.0, jax.lax.mul, (2,), None, "SAME")


BUILDERS = {
    "constant": [(0.5,), (jnp.arange(4.0),), (-0.0,)],
    "delta_orthogonal": [(), (2.0,)],
    "orthogonal": [(), (2.0, 0)],
    "normal": [(), (0.5, jnp.bfloat16)],
    "truncated_normal": [(), (0.5, jnp.float32, -1.0, 0.5)],
    "uniform": [(), (2.0,)],
    "variance_scaling": [
        (1.0, "fan_avg", "uniform"),
        (2.0, "fan_in", "normal", (0, 1), -1),
        (1.0, "fan_out", "truncated_normal", [0], [1]),
    ],
    **{
        f"{house}_{kind}": [(), (0, 1), ((0, 1), -1, (), jnp.bfloat16)]
        for house in ("glorot", "he", "kaiming", "lecun", "xavier")
        for kind in ("normal", "uniform")
    },
}
CASES = [(name, args) for name, cases in BUILDERS.items() for args in cases]


@pytest.mark.parametrize(
    ("name", "args"), CASES, ids=[f"{name}{i}" for i, (name, _) in enumerate(CASES)]
)
def test_initializer(name, args):
    ours, theirs = (
        getattr(module, name)(*args) for module in (nn.initializers, flax.linen.initializers)
    )
    key = jax.random.key(1)
    shape = (3, 3, 2, 4) if name == "delta_orthogonal" else (3, 4)

    dtypes = (jnp.bfloat16, jnp.complex64) if "orthogonal" not in name else (jnp.float32,)

    def compiled(initializer):
        return jax.jit(lambda key: initializer(key, shape))(key)

    assert_same_outcome(lambda: compiled(ours), lambda: compiled(theirs))
    for dtype in dtypes:
        assert_same_outcome(lambda: ours(key, shape, dtype), lambda: theirs(key, shape, dtype))  # noqa: B023


def test_constant_initializers():
    for name in ("zeros", "ones"):
        for module in (nn, flax_nn):
            made = getattr(module, name)(jax.random.key(0), (2,), jnp.int32)
            assert made.dtype == jnp.int32
            assert getattr(module, f"{name}_init")() is getattr(module, name)


VALUES = st.sampled_from(
    [
        None,
        1,
        2.0,
        True,
        1j,
        *(np.ones(2, d) for d in ("int8", "float32", "float64")),
        *(jnp.ones(2, d) for d in ("int32", "bfloat16", "float16", "float32", "complex64", "bool")),
    ]
)


@parity_settings()
@hypothesis.given(
    values=st.lists(VALUES, min_size=1, max_size=3),
    dtype=st.sampled_from([None, None, "float32", jnp.bfloat16, "int32", jnp.complex64]),
    inexact=st.booleans(),
    jit=st.booleans(),
)
@pytest.mark.filterwarnings("ignore")
def test_promotion(values, dtype, inexact, jit):
    def promote(library, values):
        made = library.dtypes.promote_dtype(*values, dtype=dtype, inexact=inexact)
        return [x if x is None else (x, str(x.weak_type)) for x in made]

    def run(library):
        names = []

        def traced(values):
            made = promote(library, values)
            names.append([x if x is None else x[1] for x in made])
            return [x if x is None else x[0] for x in made]

        found = library.dtypes.canonicalize_dtype(*values, dtype=dtype, inexact=inexact)
        return (
            (jax.jit(traced)(values) if jit else promote(library, values)),
            names,
            str(jnp.dtype(found)),
        )

    assert_same_outcome(lambda: run(nn), lambda: run(flax_nn))
