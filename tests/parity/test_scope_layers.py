"""Layers as functions of a scope do what those of flax.core.nn do."""

import functools
import importlib
import inspect

import flax.core
import flax.core.nn
import jax
import jax.numpy as jnp
import pytest

import linen_core.scope_layers
from linen_core.scope import apply, init
from parity._compare import assert_same_error, assert_same_tree, plain

OURS = (linen_core.scope_layers, init, apply)
THEIRS = (flax.core.nn, flax.core.init, flax.core.apply)
X = jax.random.normal(jax.random.key(1), (2, 5, 4))
IMAGE = jax.random.normal(jax.random.key(2), (2, 7, 7, 4))
HALF = X.astype(jnp.bfloat16)
TOKENS = jnp.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], jnp.float32)[..., None]
SEGMENTS = jnp.array([[1, 1, 2, 2, 3], [1, 1, 1, 1, 2]], jnp.float32)[..., None]
NORMAL = jax.nn.initializers.normal()
KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(5)}

CASES = {
    "dense": ("dense", (X, 3), {}),
    "dense without bias": ("dense", (HALF, 3), {"bias": False, "kernel_init": NORMAL}),
    "dense_general": ("dense_general", (X, 3), {}),
    "dense_general over axes": ("dense_general", (IMAGE, (3, 2)), {"axis": (2, -1)}),
    "dense_general in batches": (
        "dense_general",
        (IMAGE, (3, 2)),
        {"axis": -1, "batch_dims": 0, "bias_init": NORMAL},
    ),
    "dense_general in two batches": (
        "dense_general",
        (IMAGE, 3),
        {"axis": 3, "batch_dims": (0, 1), "bias_init": NORMAL, "dtype": jnp.bfloat16},
    ),
    "conv": ("conv", (IMAGE, 6, (3, 2)), {}),
    "conv with options": (
        "conv",
        (IMAGE, 6, (3, 3)),
        {"strides": (2, 1), "padding": "VALID", "kernel_dilation": (1, 2), "bias": False},
    ),
    "conv in groups": ("conv", (IMAGE, 6, (3, 3)), {"feature_group_count": 2}),
    "conv over dilated inputs": (
        "conv",
        (X, 6, (3,)),
        {"input_dilation": (2,), "padding": [(1, 0)]},
    ),
    "conv_transpose": ("conv_transpose", (IMAGE, 6, (3, 3)), {"strides": (2, 2)}),
    "conv_transpose with options": (
        "conv_transpose",
        (X, 6, (3,)),
        {"padding": "VALID", "kernel_dilation": (2,), "bias": False, "dtype": jnp.bfloat16},
    ),
    "batch_norm": ("batch_norm", (IMAGE,), {}),
    "batch_norm with options": (
        "batch_norm",
        (IMAGE,),
        {"axis": (1, 3), "momentum": 0.5, "kind": "averages", "scale_init": NORMAL, "bias": False},
    ),
    "batch_norm with averages": ("batch_norm", (IMAGE,), {"use_running_average": True}),
    "layer_norm": ("layer_norm", (X,), {"scale_init": NORMAL, "bias_init": NORMAL}),
    "layer_norm in bfloat16": ("layer_norm", (HALF,), {"dtype": jnp.bfloat16, "scale": False}),
    "group_norm": ("group_norm", (IMAGE,), {"num_groups": 2, "scale_init": NORMAL}),
    "group_norm by size": ("group_norm", (X,), {"num_groups": None, "group_size": 2}),
    "dropout": ("dropout", (X, 0.3), {}),
    "dropout of nothing": ("dropout", (X, 0.3), {"deterministic": True}),
    "dropout with a key": ("dropout", (X, 0.3), {"rng": jax.random.key(3)}),
    "attention": ("dot_product_attention", (IMAGE, IMAGE, IMAGE), {}),
    "attention with dropout": (
        "dot_product_attention",
        (IMAGE, IMAGE + 1, IMAGE),
        {"dropout_rate": 0.4, "bias": jnp.ones((1, 1, 7, 7))},
    ),
    "attention over two axes": (
        "dot_product_attention",
        (IMAGE[:, :, :, None], IMAGE[:, :, :, None], IMAGE[:, :, :, None]),
        {"dropout_rate": 0.4, "broadcast_dropout": False},
    ),
    "heads": ("multi_head_dot_product_attention", (X, None, 2), {}),
    "heads with masks": (
        "multi_head_dot_product_attention",
        (X, X + 1, 2),
        {
            "causal_mask": True,
            "padding_mask": TOKENS,
            "segmentation": SEGMENTS,
            "qkv_features": 8,
            "out_features": 3,
        },
    ),
    "heads with masks of keys": (
        "multi_head_dot_product_attention",
        (X, X[:, ::-1], 4),
        {"padding_mask": TOKENS, "key_padding_mask": TOKENS[:, ::-1], "dropout_rate": 0.5},
    ),
    "heads over an image": (
        "multi_head_dot_product_attention",
        (IMAGE, None, 2),
        {"causal_mask": True, "bias": False},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layers(case):
    name, args, kwargs = CASES[case]
    results = []
    for library, initialize, run in (OURS, THEIRS):
        layer = functools.partial(getattr(library, name), **kwargs)
        y, variables = initialize(layer)(KEYS, *args)
        arguments = (variables, *args)
        applied = run(layer, mutable=True)(*arguments, rngs={"dropout": jax.random.key(7)})
        results.append((y, plain(variables), applied[0], plain(applied[1])))
    assert_same_tree(*results)


def test_decoding_with_a_cache():
    def decode(library, initialize, run):
        layer = functools.partial(
            library.multi_head_dot_product_attention,
            inputs_kv=None,
            num_heads=2,
            causal_mask=True,
            cache=True,
            padding_mask=jnp.ones((2, 1, 1)),
        )
        _, variables = initialize(layer)(jax.random.key(0), X[:, :1])
        variables = dict(variables) | {"cache": {"entry": variables["cache"]["entry"]((2, 5))}}
        results = []
        for step in range(5):
            y, new = run(layer, mutable="cache")(variables, X[:, step : step + 1])
            variables = {**variables, **new}
            results.append(y)
        return results, jax.tree.leaves(variables["cache"])

    assert_same_tree(decode(*OURS), decode(*THEIRS))


def test_a_bias_after_axes_in_the_middle():
    """flax adds it to the wrong axes, and raises."""
    dense = functools.partial(linen_core.scope_layers.dense_general, axis=(1, -1))
    y, _ = init(functools.partial(dense, bias_init=jax.nn.initializers.ones))(
        KEYS, IMAGE * 0, (3, 2)
    )
    assert y.shape == (2, 7, 3, 2)
    assert (y == 1).all()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int8", "float32"])
def test_embedding(dtype):
    def embed(library, initialize, _):
        table, variables = initialize(library.embedding)(jax.random.key(0), 7, 3)
        found = table.attend(X[..., :3]), table.lookup(jnp.array([[1, 6]], dtype))
        return found, plain(variables)

    if dtype in {"int32", "uint32"}:
        assert_same_tree(embed(*OURS), embed(*THEIRS))
    else:
        assert_same_error(lambda: embed(*OURS), lambda: embed(*THEIRS))


WRONG = {
    "group_norm with both": ("group_norm", (X,), {"num_groups": 2, "group_size": 2}),
    "group_norm with neither": ("group_norm", (X,), {"num_groups": None}),
    "group_norm that does not divide": ("group_norm", (X,), {"num_groups": None, "group_size": 3}),
    "dense_general": ("dense_general", (IMAGE, 3), {"batch_dims": (1,)}),
    "conv": ("conv", (IMAGE, 6, (3, 3)), {"feature_group_count": 3}),
    "axis of attention": ("dot_product_attention", (IMAGE, IMAGE, IMAGE), {"axis": 2}),
    "shapes of attention": ("dot_product_attention", (IMAGE, IMAGE[:1], IMAGE), {}),
    "heads": ("multi_head_dot_product_attention", (X, None, 3), {}),
    "cache": ("multi_head_dot_product_attention", (X, None, 2), {"cache": True}),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors(case):
    name, args, kwargs = WRONG[case]
    ours, theirs = (
        functools.partial(initialize(functools.partial(getattr(library, name), **kwargs)), KEYS)
        for library, initialize, _ in (OURS, THEIRS)
    )
    assert_same_error(lambda: ours(*args), lambda: theirs(*args))


@pytest.mark.parametrize("module", ["", ".attention", ".linear", ".normalization", ".stochastic"])
def test_names_and_arguments(module):
    ours, theirs = (
        importlib.import_module(name + module)
        for name in ("linen_core.scope_layers", "flax.core.nn")
    )
    names = [
        name
        for name, value in vars(theirs).items()
        if name[0] != "_" and getattr(value, "__module__", "").startswith("flax.core.nn")
    ]
    assert names
    for name in names:
        found, expected = (inspect.signature(getattr(m, name)).parameters for m in (ours, theirs))
        assert list(found) == list(expected)
        for key, parameter in expected.items():
            default = found[key].default
            assert (default is inspect.Parameter.empty) == (
                parameter.default is inspect.Parameter.empty
            )
            if not callable(parameter.default):
                assert default == parameter.default
