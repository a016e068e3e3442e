"""Names of flax and their counterparts."""

import importlib

import pytest

from linen_core.migration.flax_names import ADVICE, MODULES, advice_for, counterpart


@pytest.mark.parametrize("name", MODULES)
def test_counterparts_of_modules_exist(name):
    for target in MODULES[name]:
        importlib.import_module(target)


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "flax.linen": "linen_core",
        "flax.linen.Dense": "linen_core.Dense",
        "flax.linen.attention.dot_product_attention": "linen_core.attention.dot_product_attention",
        "flax.linen.tabulate": "linen_core.tabulate",
        "flax.linen.summary": "linen_summary",
        "flax.core.freeze": "linen_store.freeze",
        "flax.core.Scope": "linen_core.scope.Scope",
        "flax.core.broadcast": "linen_core.axes_scan.broadcast",
        "flax.core.jit": "linen_core.lift.jit",
        "flax.config": "linen_core.configurations.config",
        "flax.configurations.bool_flag": "linen_core.configurations.bool_flag",
        "flax.cursor.cursor": "linen_core.cursor.cursor",
        "flax.ids.uuid": "linen_core.ids.uuid",
        "flax.core.nn.dense": "linen_core.scope_layers.dense",
        "flax.core.nn.linear.Embedding": "linen_core.scope_layers.linear.Embedding",
        "flax.core.variables.Variable": "linen_core.scope.Variable",
        "flax.core.unbox": "linen_core.meta.unbox",
        "flax.core.frozen_dict": "linen_store",
        "flax.core.frozen_dict.FrozenDict": "linen_store.FrozenDict",
        "flax.linen.linear._conv_dimension_numbers": "linen_core.linear._conv_dimension_numbers",
        "flax.linen.module.FrozenDict": "linen_store.FrozenDict",
        "flax.linen.summary._ArrayRepresentation": "linen_summary._ArrayRepresentation",
        "flax.metrics.tensorboard.SummaryWriter": "linen_summary.tensorboard.SummaryWriter",
        "flax.io.GFile": "linen_store.io.GFile",
        "flax.training.orbax_utils.save_args_from_target": "linen_store.orbax_utils.save_args_from_target",
        "flax.training.train_state": "linen_core.train_state",
        "flax.training.train_state.TrainState": "linen_core.train_state.TrainState",
        "flax.serialization.to_bytes": "linen_store.serialization.to_bytes",
        "flax.struct.dataclass": "linen_core.struct.dataclass",
    }.items(),
)
def test_counterparts(name, expected):
    found = counterpart(name)
    assert str(found) == expected
    module, _, last = expected.rpartition(".")
    value = importlib.import_module(expected) if found.name is None else None
    assert found.load() is (value or getattr(importlib.import_module(module), last))


@pytest.mark.parametrize(
    "name",
    ["flax", "flax.core", "flax.nnx", "flax.linen.Nothing", "flax.linen._Private", "jax.numpy", ""],
)
def test_names_without_a_counterpart(name):
    assert counterpart(name) is None


def test_advice_is_that_of_the_longest_prefix():
    assert advice_for("flax.optim.adam.Adam") == ADVICE["flax.optim"]
    assert advice_for("flax.core.partial_eval.lazy_init") == ADVICE["flax.core.partial_eval"]
    assert advice_for("flax.linen.Dens") == (
        "Check the spelling: Linen answers the public names of flax 0.12.8."
    )
