"""The paths that programs know from flax.linen lead to the same objects, as attributes and as imports."""

from __future__ import annotations

import importlib

import jax.numpy as jnp
import pytest

import linen_core as nn
from linen_core.attention import dot_product_attention_weights, make_causal_mask
from linen_core.linear import _conv_dimension_numbers, default_kernel_init
from linen_core.partitioning import axis_rules, param_with_axes

SUBMODULES = [
    "activation",
    "attention",
    "batch_apply",
    "combinators",
    "dtypes",
    "fp8_ops",
    "initializers",
    "linear",
    "module",
    "normalization",
    "partitioning",
    "pooling",
    "recurrent",
    "spmd",
    "stochastic",
    "summary",
    "transforms",
]


@pytest.mark.parametrize("name", SUBMODULES)
def test_submodule_can_be_imported_and_is_the_attribute(name):
    assert importlib.import_module(f"linen_core.{name}") is getattr(nn, name)


def test_every_name_of_the_face_is_found():
    sisters = {"FrozenDict", "summary", "tabulate"}
    for name in nn.__all__:
        assert getattr(nn, name) is not None
        assert name in dir(nn)
        assert name in vars(nn) or name in sisters, name  # found at once the second time
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nn.nothing


def test_names_imported_by_path():
    assert dot_product_attention_weights is nn.dot_product_attention_weights
    assert make_causal_mask is nn.make_causal_mask
    assert default_kernel_init is nn.linear.default_kernel_init
    assert _conv_dimension_numbers is nn.linear._conv_dimension_numbers
    assert axis_rules is nn.partitioning.axis_rules
    assert param_with_axes is nn.partitioning.param_with_axes
    assert nn.attention.promote_dtype is nn.dtypes.promote_dtype


def test_every_initializer_of_flax_is_there():
    theirs = importlib.import_module("flax.linen.initializers")
    assert {name for name in vars(theirs) if not name.startswith("_")} <= set(dir(nn.initializers))


def test_the_running_module_can_be_looked_up():
    class Outer(nn.Module):
        @nn.compact
        def __call__(self, x):
            seen.append(nn.module._context.module_stack[-1])
            Inner()(x)
            seen.append(nn.module._context.module_stack[-1])
            return self

    class Inner(nn.Module):
        def __call__(self, x):
            seen.append(nn.module._context.module_stack[-1])

    seen = []
    outer = Outer().apply({}, jnp.ones(1))
    assert seen[0] is seen[2] is outer
    assert type(seen[1]) is Inner
    assert nn.module._context.module_stack == [None]
