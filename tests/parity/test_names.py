"""Every public name of flax that Linen stands for is here, and takes the same arguments."""

from __future__ import annotations

import importlib
import inspect
from typing import TypeVar

import pytest

import linen_core as nn

PAIRS = {
    "flax.linen": "linen_core",
    "flax.errors": "linen_core.errors",
    "flax.struct": "linen_core.struct",
    "flax.traverse_util": "linen_core.traverse_util",
    "flax.configurations": "linen_core.configurations",
    "flax.core.axes_scan": "linen_core.axes_scan",
    "flax.core.meta": "linen_core.meta",
    "flax.core.tracers": "linen_core.tracers",
    "flax.cursor": "linen_core.cursor",
    "flax.ids": "linen_core.ids",
    "flax.traceback_util": "linen_core.traceback_util",
    "flax.core.scope": "linen_core.scope",
    "flax.core.frozen_dict": "linen_store",
    "flax.serialization": "linen_store.serialization",
    "flax.jax_utils": "linen_core.jax_utils",
    "flax.training.common_utils": "linen_core.training.common_utils",
    "flax.training.dynamic_scale": "linen_core.training.dynamic_scale",
    "flax.training.early_stopping": "linen_core.training.early_stopping",
    "flax.training.lr_schedule": "linen_core.training.lr_schedule",
    "flax.training.orbax_utils": "linen_store.orbax_utils",
    "flax.training.prefetch_iterator": "linen_core.training.prefetch_iterator",
    "flax.training.train_state": "linen_core.train_state",
    "flax.typing": "linen_core.typing",
    "flax.linen.module": "linen_core.module",
    "flax.linen.partitioning": "linen_core.partitioning",
    "flax.linen.spmd": "linen_core.spmd",
    "flax.linen.transforms": "linen_core.transforms",
}
# Parts of flax's own machinery that are not documented, and what only flax.nnx uses.
INTERNAL = {
    "flax.linen": {"kw_only_dataclasses"},
    "flax.configurations": {"TYPE_CHECKING", "nnx_sow_capture_noop"},
    "flax.core.frozen_dict": {"FrozenKeysView", "FrozenValuesView"},
    "flax.cursor": {"AccessType", "Indexable", "ParentKey", "is_named_tuple"},
    "flax.core.scope": {"child_rng_token", "no_flag"},
    "flax.linen.partitioning": {"core_remat_static"},
    "flax.linen.module": {
        "CompactNameScope",
        "Descriptor",
        "DescriptorWrapper",
        "ModuleBase",
        "ParentDescriptor",
        "TestScope",
        "ThreadLocalStack",
        "capture_call_intermediates",
        "create_descriptor_wrapper",
        "module_field",
        "run_interceptors",
        "tuple_init",
        "tuple_reduce",
        "wrap_descriptor_once",
    },
    "flax.linen.transforms": {
        "InstancePlaceholder",
        "VariablePlaceholder",
        "clean_clone",
        "decorator_lift_transform",
        "decorator_lift_transform_cached",
        "fork_rngs",
        "get_module_scopes",
        "lift_direct_transform",
        "lift_transform_cached",
        "module_class_lift_transform",
        "module_class_lift_transform_cached",
        "set_module_scopes",
    },
    "flax.typing": {
        "BaseConfigContext",
        "HashableMapping",
        "MISSING",
        "Key",
        "Missing",
        "PathParts",
        "PytreeDeque",
        "ShapeDtype",
        "SizeBytes",
        "has_shape_dtype",
        "is_key_like",
    },
}


def _names(path):
    """List the public names that a module of flax defines itself, or takes from another part of flax."""
    module = importlib.import_module(path)
    for name, value in vars(module).items():
        home = getattr(value, "__module__", None) or path
        if name.startswith("_") or inspect.ismodule(value) or isinstance(value, TypeVar):
            continue
        if home.startswith("flax.") if path == "flax.linen" else home == path:
            yield name


CASES = [
    (path, name)
    for path in PAIRS
    for name in sorted(_names(path))
    if name not in INTERNAL.get(path, ())
]


def test_there_is_much_to_compare():
    assert len(CASES) > 240


@pytest.mark.parametrize(("path", "name"), CASES)
def test_name_is_here(path, name):
    assert hasattr(importlib.import_module(PAIRS[path]), name)


def _is_dataclass(value):
    return hasattr(value, "__dataclass_fields__")


def _callable_cases():
    for path, name in CASES:
        theirs = getattr(importlib.import_module(path), name)
        plain = inspect.isfunction(theirs) or (
            isinstance(theirs, type) and (_is_dataclass(theirs) or "__init__" in vars(theirs))
        )
        if plain and path not in {"flax.errors", "flax.typing"}:
            yield path, name


@pytest.mark.parametrize(("path", "name"), list(_callable_cases()))
def test_arguments_are_the_same(path, name):
    theirs, ours = (
        inspect.signature(getattr(importlib.import_module(module), name)).parameters
        for module in (path, PAIRS[path])
    )
    further = list(ours)[len(theirs) :]
    assert list(ours) == [*theirs, *further]
    assert all(ours[key].default is not inspect.Parameter.empty for key in further)
    for key, parameter in theirs.items():
        if key not in {"parent", "name"}:  # ours are taken by keyword only
            assert ours[key].kind == parameter.kind, key
        if parameter.default is not inspect.Parameter.empty:
            assert ours[key].default is not inspect.Parameter.empty, key


METHODS = [
    name
    for name, value in vars(importlib.import_module("flax.linen").Module).items()
    if inspect.isfunction(value) and not name.startswith("_")
]


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_a_module_take_the_same_arguments(name):
    theirs = getattr(importlib.import_module("flax.linen").Module, name)
    ours = inspect.signature(getattr(nn.Module, name)).parameters
    assert list(ours) == list(inspect.signature(theirs).parameters)
