"""Whatever a user can call has an example in its docstring; pytest runs these with the sources."""

import importlib
import inspect

import pytest

import linen_core as nn

FACES = [
    "linen_core",
    "linen_core.abstract",
    "linen_core.axes_scan",
    "linen_core.configurations",
    "linen_core.cursor",
    "linen_core.filters",
    "linen_core.ids",
    "linen_core.jax_utils",
    "linen_core.kw_only_dataclasses",
    "linen_core.meta",
    "linen_core.partitioning",
    "linen_core.rng",
    "linen_core.scope",
    "linen_core.scope_layers.attention",
    "linen_core.scope_layers.linear",
    "linen_core.scope_layers.normalization",
    "linen_core.scope_layers.stochastic",
    "linen_core.spmd",
    "linen_core.store",
    "linen_core.struct",
    "linen_core.traceback_util",
    "linen_core.tracers",
    "linen_core.train_state",
    "linen_core.training.common_utils",
    "linen_core.training.dynamic_scale",
    "linen_core.training.early_stopping",
    "linen_core.training.lr_schedule",
    "linen_core.training.prefetch_iterator",
    "linen_core.transforms",
    "linen_core.traverse_util",
    "linen_store",
    "linen_store.io",
    "linen_store.orbax_utils",
    "linen_store.serialization",
    "linen_summary",
    "linen_summary.tensorboard",
]
# Functions of jax itself under their names here have its docstrings.
FROM_JAX = {"gelu", "logsumexp", "softmax"}


def _is_ours(value):
    if getattr(value, "_is_protocol", False):
        return False
    if isinstance(value, type) and issubclass(value, BaseException):
        return False
    return callable(value) and getattr(value, "__module__", "").startswith("linen_")


def _public(face):
    module = importlib.import_module(face)
    return {name: getattr(module, name) for name in module.__all__}


@pytest.mark.parametrize("face", FACES)
def test_functions_and_classes_have_examples(face):
    ours = {name: value for name, value in _public(face).items() if _is_ours(value)}
    without = [name for name, value in ours.items() if ">>>" not in (value.__doc__ or "")]
    assert ours
    assert set(without) <= FROM_JAX


def test_methods_of_modules_have_examples():
    names = [name for name in dir(nn.Module) if not name.startswith("_")]
    found = {name: inspect.getattr_static(nn.Module, name) for name in names}
    methods = {name: getattr(value, "fget", value) for name, value in found.items()}
    without = [
        name for name, method in methods.items() if method and ">>>" not in (method.__doc__ or "")
    ]
    assert len(methods) > 20
    assert without == []
